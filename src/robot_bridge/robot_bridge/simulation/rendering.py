"""Pictures of a MuJoCo model, off screen."""

from __future__ import annotations

import ctypes
import importlib
import os

import mujoco
import numpy as np
import numpy.typing as npt

# Library to look for -> MuJoCo's module for it, in order of speed.
_GL = {"libEGL.so.1": "egl", "libOSMesa.so.8": "osmesa"}
_REMEDY = (
    "install the rendering libraries (apt-get install libegl1 libosmesa6 libgl1-mesa-dri), and leave MUJOCO_GL unset "
    "or set it to egl or osmesa"
)
# Smoothed edges triple the time on a software renderer: for pictures that people look at, not for policies.
_SAMPLES, _SMALL = 4, 128


class RenderingUnavailable(RuntimeError):
    """No picture can be made. The message says why and what to do."""


class OffscreenRenderer:
    """Renders one model at one size.

    Raises:
        RenderingUnavailable: there is no OpenGL for off-screen pictures.
    """

    def __init__(self, model: mujoco.MjModel, width: int, height: int) -> None:
        self.size = (width, height)
        self._model = model
        # The frame buffer is made with the context, as large as this.
        model.vis.global_.offwidth, model.vis.global_.offheight = width, height
        model.vis.quality.offsamples = _SAMPLES if width > _SMALL else 0
        try:
            self._gl = _gl_module().GLContext(width, height)
            self._gl.make_current()
            self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        except Exception as error:  # PyOpenGL and MuJoCo raise half a dozen unrelated types here
            raise RenderingUnavailable(f"cannot render: {type(error).__name__}: {error}; {_REMEDY}") from error
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        self._scene = mujoco.MjvScene(model, maxgeom=model.ngeom + model.nsite + 16)
        # Shadows cost 30 times the rest on a software renderer (42 against 1,400 frames/s at 64 x 64).
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        self._option = mujoco.MjvOption()
        self._pixels = np.empty((height, width, 3), dtype=np.uint8)

    def render(self, data: mujoco.MjData, camera: str) -> npt.NDArray[np.uint8]:
        """A picture (height, width, 3) from a fixed camera of the model."""
        self._gl.make_current()
        view = mujoco.MjvCamera()
        view.type = mujoco.mjtCamera.mjCAMERA_FIXED
        view.fixedcamid = self._model.camera(camera).id
        mujoco.mjv_updateScene(
            self._model, data, self._option, None, view, mujoco.mjtCatBit.mjCAT_ALL.value, self._scene
        )
        rectangle = mujoco.MjrRect(0, 0, *self.size)
        mujoco.mjr_render(rectangle, self._scene, self._context)
        mujoco.mjr_readPixels(self._pixels, None, rectangle, self._context)
        return self._pixels[::-1].copy()  # OpenGL counts rows from below

    def close(self) -> None:
        """Give back the OpenGL context."""
        self._context.free()
        self._gl.free()


def _gl_module() -> object:
    """MuJoCo's module for the OpenGL that is there; what MUJOCO_GL asks for comes first."""
    asked = os.environ.get("MUJOCO_GL", "").lower().strip()
    if asked in ("egl", "osmesa"):
        return importlib.import_module(f"mujoco.{asked}")
    missing = []
    for library, name in _GL.items():
        try:
            ctypes.CDLL(library)
        except OSError as error:
            missing.append(str(error))
        else:
            return importlib.import_module(f"mujoco.{name}")
    raise ImportError("; ".join(missing))
