"""The doctor's look at what the napari window needs: napari, Qt, its libraries, OpenGL, a display.

Nothing here imports Qt or napari. Qt ends the whole process when its platform plugin does not
load, so whatever has to be tried with Qt is tried in a process of its own.
"""

import ctypes
import importlib.metadata
import importlib.util
import os
import subprocess
import sys

from napari_fastsam3d.cli.check import Check

_INSTALL_WINDOW = f'{sys.executable} -m pip install "napari-fastsam3d[all]"'

# What Qt 6 and its xcb platform plugin are linked against and pip does not bring (read off
# PySide6 6.12), by the library's name; the package is Debian's and Ubuntu's.
_LIBRARIES = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libX11.so.6": "libx11-6",
    "libX11-xcb.so.1": "libx11-xcb1",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
    "libfreetype.so.6": "libfreetype6",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-glx.so.0": "libxcb-glx0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-shm.so.0": "libxcb-shm0",
    "libxcb-sync.so.1": "libxcb-sync1",
    "libxcb-util.so.1": "libxcb-util1",
    "libxcb-xfixes.so.0": "libxcb-xfixes0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
}

_OPENGL_PROBE = """
import sys
from qtpy.QtGui import QGuiApplication, QOffscreenSurface, QOpenGLContext
from OpenGL import GL
application = QGuiApplication([])
surface, context = QOffscreenSurface(), QOpenGLContext()
surface.create()
if not context.create() or not context.makeCurrent(surface):
    sys.exit("Qt could not make an OpenGL context")
print(GL.glGetString(GL.GL_VERSION).decode(), "by", GL.glGetString(GL.GL_RENDERER).decode())
"""


def has_display() -> bool:
    """Tell whether a window could be shown on this machine."""
    if os.environ.get("QT_QPA_PLATFORM") in ("offscreen", "minimal"):
        return False
    if not sys.platform.startswith("linux"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def has_napari() -> bool:
    """Tell whether napari and a Qt binding are installed."""
    return importlib.util.find_spec("napari") is not None and _binding() is not None


def _binding() -> str | None:
    names = ("PySide6", "PyQt6")
    return next((name for name in names if importlib.util.find_spec(name)), None)


def _wanting(name: str, text: str, remedy: str) -> Check:
    """Report what the window lacks: a failure where there is a display to show it on."""
    make = Check.fail if has_display() and has_napari() else Check.warning
    return make(name, text, remedy)


def napari() -> list[Check]:
    """Name napari's version and check that it will find this plugin."""
    if importlib.util.find_spec("napari") is None:
        text = "not installed: the command line works, the window does not"
        return [Check.warning("napari", text, _INSTALL_WINDOW)]
    found = Check.ok("napari", importlib.metadata.version("napari"))
    return [found, _manifest()]


def _manifest() -> Check:
    registered = importlib.metadata.entry_points(group="napari.manifest", name="napari-fastsam3d")
    if not registered:
        return Check.fail("plugin", "napari has not been told of it", _INSTALL_WINDOW)
    from npe2 import PluginManifest

    manifest = PluginManifest.from_distribution("napari-fastsam3d")
    widgets = [widget.display_name for widget in manifest.contributions.widgets or ()]
    return Check.ok("plugin", f"registered with napari, widget {', '.join(widgets)}")


def qt_binding() -> list[Check]:
    """Name the Qt binding that napari will use."""
    name = _binding()
    if name is None:
        return [_wanting("Qt", "no PySide6 and no PyQt6", _INSTALL_WINDOW)]
    return [Check.ok("Qt", f"{name} {importlib.metadata.version(name)}")]


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def missing_libraries() -> dict[str, str]:
    """Load every shared library that Qt's X11 plugin needs and pip does not bring.

    Returns
    -------
    dict of str to str
        The libraries that do not load, each with its Debian package; empty but on Linux.
    """
    if not sys.platform.startswith("linux"):
        return {}
    return {name: package for name, package in _LIBRARIES.items() if not _loads(name)}


def qt_libraries() -> list[Check]:
    """Say which of the libraries that Qt's X11 plugin needs are missing."""
    missing = missing_libraries()
    if not missing:
        return [Check.ok("Qt libraries", "all load")]
    packages = " ".join(sorted(missing.values()))
    text = f"missing: {', '.join(missing)}"
    return [_wanting("Qt libraries", text, f"sudo apt-get install -y {packages}")]


def display() -> list[Check]:
    """Say whether there is a screen."""
    if has_display():
        return [Check.ok("display", os.environ.get("DISPLAY") or "yes")]
    text = "none: the command line works, the window needs one"
    return [Check.warning("display", text, "xvfb-run -a napari  # a virtual one")]


def opengl() -> list[Check]:
    """Open an OpenGL context with Qt, in another process, where there is a display."""
    if not (has_display() and has_napari()):
        return [Check.warning("OpenGL", "not tried: that needs a display and napari")]
    probe = subprocess.run(
        [sys.executable, "-c", _OPENGL_PROBE], capture_output=True, text=True, timeout=60
    )
    if probe.returncode == 0:
        return [Check.ok("OpenGL", probe.stdout.strip())]
    message = (probe.stderr.strip().splitlines() or ["the process died"])[-1]
    remedy = "sudo apt-get install -y libgl1-mesa-dri libegl1"
    return [Check.fail("OpenGL", message, remedy)]
