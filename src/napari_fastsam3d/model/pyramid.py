"""The default network: pyramid encoder and pyramid decoder."""

from torch import nn

from napari_fastsam3d.model.pyramid_decoder import PyramidDecoder
from napari_fastsam3d.model.pyramid_encoder import PyramidConfig, PyramidEncoder


class PyramidNetwork(nn.Module):
    """Image encoder and mask decoder of one configuration.

    Attributes
    ----------
    encoder : PyramidEncoder
        Run once a crop.
    decoder : PyramidDecoder
        Run once a prompt.
    """

    def __init__(self, config: PyramidConfig | None = None) -> None:
        super().__init__()
        self.config = config or PyramidConfig()
        self.encoder = PyramidEncoder(self.config)
        self.decoder = PyramidDecoder(self.config)
