import pytest
import torch
from sac_learner.sac.optimiser import Adam


@pytest.mark.parametrize("size", [1, 63, 640, 1000, 5000])
@pytest.mark.parametrize(("pieces", "beta_1"), [(1, 0.9), (1, 0.5), (32, 0.9)])
def test_steps_are_those_of_pytorchs_plain_adam(size, pieces, beta_1):
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(size, generator=generator)
    own, parameter = start.clone(), torch.nn.Parameter(start.clone())
    adam = Adam(own, 1e-2, beta_1, pieces)
    reference = torch.optim.Adam([parameter], lr=1e-2, betas=(beta_1, 0.999), fused=False)
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
        adam = Adam(torch.zeros(size), 1e-2, pieces=32)
        assert len(adam._steps) == len(adam._pieces[0]) <= 32
        assert sum(piece.numel() for piece in adam._pieces[0]) == size
