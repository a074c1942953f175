import pytest
import torch
from sac_learner.sac.optimiser import Adam


@pytest.mark.parametrize("size", [1, 63, 640, 1000, 5000])
@pytest.mark.parametrize("pieces", [1, 32])
def test_steps_are_those_of_pytorchs_plain_adam(size, pieces):
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(size, generator=generator)
    own, parameter = start.clone(), torch.nn.Parameter(start.clone())
    adam, reference = Adam(own, 1e-2, pieces), torch.optim.Adam([parameter], lr=1e-2, fused=False)
    for _ in range(5):
        gradient = torch.randn(size, generator=generator)
        adam.step(gradient)
        parameter.grad = gradient
        reference.step()
    torch.testing.assert_close(own, parameter.detach(), rtol=1e-5, atol=1e-6)
    expected = reference.state[parameter]
    torch.testing.assert_close(adam.state()["mean"], expected["exp_avg"])
    torch.testing.assert_close(adam.state()["square"], expected["exp_avg_sq"])
    assert adam.state()["step"].item() == 5.0


def test_a_vector_is_cut_into_no_more_pieces_than_asked_for():
    for size in (1, 64, 65, 145_000, 10_000_000):
        adam = Adam(torch.zeros(size), 1e-2, 32)
        assert len(adam._steps) == len(adam._pieces[0]) <= 32
        assert sum(piece.numel() for piece in adam._pieces[0]) == size
