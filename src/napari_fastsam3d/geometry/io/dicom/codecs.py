"""Decodes compressed DICOM images, as a plugin of pydicom's decoders.

By imagecodecs, whose libraries refuse a damaged stream; GDCM's decoders end the process on some.
"""

from typing import TYPE_CHECKING

from pydicom import uid

if TYPE_CHECKING:
    from pydicom.pixels.decoders.base import DecodeRunner

PLUGIN = "imagecodecs"
_DECODERS = {
    uid.JPEGBaseline8Bit: "jpeg8_decode",
    uid.JPEGExtended12Bit: "jpeg8_decode",
    uid.JPEGLossless: "jpeg8_decode",
    uid.JPEGLosslessSV1: "jpeg8_decode",
    uid.JPEGLSLossless: "jpegls_decode",
    uid.JPEGLSNearLossless: "jpegls_decode",
    uid.JPEG2000Lossless: "jpeg2k_decode",
    uid.JPEG2000: "jpeg2k_decode",
    uid.HTJ2KLossless: "jpeg2k_decode",
    uid.HTJ2KLosslessRPCL: "jpeg2k_decode",
    uid.HTJ2K: "jpeg2k_decode",
}
DECODER_DEPENDENCIES = dict.fromkeys(_DECODERS, (PLUGIN,))  # asked for by pydicom


def plugin_for(syntax: str) -> str:
    """Return the name of the plugin that decodes a transfer syntax; empty for pydicom's own."""
    from pydicom.pixels.decoders.base import get_decoder

    if syntax not in _DECODERS:
        return ""
    decoder = get_decoder(syntax)
    if PLUGIN not in decoder.available_plugins:
        decoder.add_plugin(PLUGIN, (__name__, "decode_frame"))
    return PLUGIN


def is_available(syntax: str) -> bool:
    """Whether a transfer syntax is decoded here; asked by pydicom."""
    return syntax in _DECODERS


def decode_frame(source: bytes, runner: "DecodeRunner") -> bytearray:
    """Return the pixels of one grey image; called by pydicom.

    Raises
    ------
    ValueError, RuntimeError
        If the stream is damaged, or holds an image of another size.
    """
    import imagecodecs

    pixels = getattr(imagecodecs, _DECODERS[runner.transfer_syntax])(source)
    if pixels.shape != (runner.rows, runner.columns):
        raise ValueError(f"The stream holds an image of shape {pixels.shape}.")
    runner.set_option("bits_allocated", pixels.dtype.itemsize * 8)
    return bytearray(pixels.tobytes())  # to be changed in place where signs are fixed
