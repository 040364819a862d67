"""The default network: pyramid encoder and pyramid decoder."""

import torch
from torch import nn

from napari_fastsam3d.model.default.image_encoder import PyramidConfig, PyramidEncoder
from napari_fastsam3d.model.default.mask_decoder import PyramidDecoder


class PyramidNetwork(nn.Module):
    """Image encoder and mask decoder of one configuration.

    Attributes
    ----------
    encoder : PyramidEncoder
        Run once a crop.
    decoder : PyramidDecoder
        Run once a prompt.
    box_decoder : PyramidDecoder or None
        Run in its place where there is a box, if the configuration has one.
    """

    def __init__(self, config: PyramidConfig | None = None) -> None:
        super().__init__()
        self.config = config or PyramidConfig()
        self.encoder = PyramidEncoder(self.config)
        self.decoder = PyramidDecoder(self.config)
        self.box_decoder = (
            PyramidDecoder(self.config, reads_boxes=True) if self.config.box_decoder else None
        )

    def decoder_of(self, boxed: bool) -> PyramidDecoder:
        """Give the decoder that answers prompts with a box, or those without."""
        return (boxed and self.box_decoder) or self.decoder


_LAST_OF_A_BRANCH = tuple(
    f"{layer}.{kind}"
    for layer in ("attn.proj", "mlp.2", "conv2.conv")
    for kind in ("weight", "bias")
)


@torch.no_grad()
def grown(network: PyramidNetwork, config: PyramidConfig) -> PyramidNetwork:
    """Give a network with more parts that computes what a smaller one does.

    Added blocks come last on their stage and begin as identities, a decoder for boxes begins as the
    other one and candidates as variants of the main mask, so that training goes on where it was
    (Chen et al. 2016, Net2Net).

    Raises
    ------
    ValueError
        When the configurations differ by more than that.
    """
    larger = PyramidNetwork(config).to(next(network.parameters()).device)
    old, new = network.state_dict(), larger.state_dict()
    if any(key not in new or new[key].shape != value.shape for key, value in old.items()):
        raise ValueError("a network grows by blocks, candidates and a decoder for boxes only")
    for key, value in new.items():
        if key in old:
            value.copy_(old[key])
        elif (twin := key.removeprefix("box_").replace(".candidates.", ".")) in old:
            value.copy_(old[twin])
        elif key.endswith("candidates.tokens.weight"):
            main = old[key.replace("candidates.tokens", "output_tokens")][:1]
            value.mul_(main.std()).add_(main)
        elif key.endswith(_LAST_OF_A_BRANCH):
            value.zero_()
    return larger
