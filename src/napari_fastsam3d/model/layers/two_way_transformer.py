"""The two-way transformer of the mask decoder (Kirillov et al. 2023, appendix A)."""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from napari_fastsam3d.model.layers.attention import ProjectedAttention


class TokenMLP(nn.Module):
    """Two linear layers with a ReLU between."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(width, hidden)
        self.lin2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, N, width) to (B, N, width)."""
        return self.lin2(F.relu(self.lin1(x)))


@dataclass(frozen=True)
class ImageProjections:
    """What a block makes of the image before any token is known.

    Attributes
    ----------
    keys, values : Tensor
        (B, N, inner) of the attention from the tokens to the image.
    queries : Tensor
        (B, N, inner) of the attention from the image to the tokens.
    """

    keys: Tensor
    values: Tensor
    queries: Tensor


class TwoWayBlock(nn.Module):
    """Tokens attend to themselves and to the image, then the image attends to the tokens.

    Parameters
    ----------
    width, heads, hidden : int
        Channels, heads, and hidden channels of the MLP.
    first : bool
        In the first block the tokens still equal their position encoding, so that the
        self-attention replaces them and adds no encoding.
    """

    def __init__(self, width: int, heads: int, hidden: int, first: bool) -> None:
        super().__init__()
        self.first = first
        self.self_attn = ProjectedAttention(width, heads)
        self.norm1 = nn.LayerNorm(width)
        self.cross_attn_token_to_image = ProjectedAttention(width, heads, downsample=2)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = TokenMLP(width, hidden)
        self.norm3 = nn.LayerNorm(width)
        self.norm4 = nn.LayerNorm(width)
        self.cross_attn_image_to_token = ProjectedAttention(width, heads, downsample=2)

    def forward(
        self,
        tokens: Tensor,
        image: Tensor,
        token_pe: Tensor,
        image_pe: Tensor,
        bias: Tensor | None = None,
        projected: ImageProjections | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Give new tokens (B, T, width) and image (B, N, width).

        `bias` (B, 1, 1, T) hides padding tokens wherever tokens are keys. `projected` is what
        `project` gives for this image, where the caller has it already.
        """
        projected = projected or self.project(image, image_pe)
        if self.first:
            tokens = self.self_attn(tokens, tokens, tokens, bias)
        else:
            q = tokens + token_pe
            tokens = tokens + self.self_attn(q, q, tokens, bias)
        tokens = self.norm1(tokens)
        look, answer = self.cross_attn_token_to_image, self.cross_attn_image_to_token
        q = look.q_proj(tokens + token_pe)
        tokens = self.norm2(tokens + look.mix(q, projected.keys, projected.values))
        tokens = self.norm3(tokens + self.mlp(tokens))
        k, v = answer.k_proj(tokens + token_pe), answer.v_proj(tokens)
        return tokens, self.norm4(image + answer.mix(projected.queries, k, v, bias))

    def project(self, image: Tensor, image_pe: Tensor) -> ImageProjections:
        """Project the image (B, N, width) with its encoding, for both cross-attentions."""
        placed = image + image_pe
        return ImageProjections(
            self.cross_attn_token_to_image.k_proj(placed),
            self.cross_attn_token_to_image.v_proj(image),
            self.cross_attn_image_to_token.q_proj(placed),
        )


class TwoWayTransformer(nn.Module):
    """A stack of two-way blocks and a last attention from the tokens to the image."""

    def __init__(self, width: int, depth: int = 2, heads: int = 8, hidden: int = 2048) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TwoWayBlock(width, heads, hidden, i == 0) for i in range(depth))
        self.final_attn_token_to_image = ProjectedAttention(width, heads, downsample=2)
        self.norm_final_attn = nn.LayerNorm(width)

    def forward(
        self,
        tokens: Tensor,
        image: Tensor,
        image_pe: Tensor,
        bias: Tensor | None = None,
        projected: ImageProjections | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Let tokens and image exchange what they know.

        Parameters
        ----------
        tokens : Tensor
            (B, T, width): output tokens and prompt tokens; they are their own encoding.
        image, image_pe : Tensor
            (B, N, width) image tokens and the encoding of their positions.
        bias : Tensor, optional
            (B, 1, 1, T), minus infinity where a token is padding.
        projected : ImageProjections, optional
            What the first block's `project` gives for the image.

        Returns
        -------
        tuple of Tensor
            The tokens (B, T, width) and the image (B, N, width).
        """
        token_pe = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, image, token_pe, image_pe, bias, projected)
            projected = None
        attended = self.final_attn_token_to_image(tokens + token_pe, image + image_pe, image)
        return self.norm_final_attn(tokens + attended), image
