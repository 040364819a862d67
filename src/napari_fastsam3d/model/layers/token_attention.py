"""Attention between a few prompt tokens and many image tokens, with the projections folded.

Projecting 512 image tokens costs more than all the rest of such an attention. Matrix products may
be taken in another order: `(x Wk) . q = x . (Wk^T q)`, and with a handful of q it is they that are
projected. The results are the same but for rounding. For inference alone.
"""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from napari_fastsam3d.model.layers.attention import ProjectedAttention, join_heads, split_heads
from napari_fastsam3d.model.layers.two_way_transformer import TwoWayTransformer


class FewQueriesAttention(nn.Module):
    """Few tokens attend to many; keys and values come as they are, not projected.

    The bias of the key projection adds the same to all logits of a query, and so nothing.
    """

    def __init__(self, attention: ProjectedAttention) -> None:
        super().__init__()
        self.heads = heads = attention.heads
        self.q_proj = attention.q_proj
        self.k_proj = nn.Identity()
        self.v_proj = nn.Identity()
        self.out_proj = attention.out_proj
        keys = attention.k_proj.weight.detach().unflatten(0, (heads, -1))  # (heads, c, width)
        values = attention.v_proj.weight.detach().unflatten(0, (heads, -1))
        self.keys = nn.Buffer(keys * keys.shape[1] ** -0.5)
        self.values = nn.Buffer(values.transpose(1, 2).contiguous())
        self.offset = nn.Buffer(attention.v_proj.bias.detach())

    def forward(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
        """Attend from q (B, T, width) to k, v (B, N, width); gives (B, T, width)."""
        return self.mix(self.q_proj(q), k, v, bias)

    def mix(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
        """Attend from projected q (B, T, inner) to k, v (B, N, width) as they are."""
        reaching = split_heads(q, self.heads) @ self.keys  # (B, heads, T, width)
        logits = reaching.flatten(1, 2) @ k.transpose(1, 2)
        if bias is not None:
            logits = logits + bias[:, 0]
        mixed = (logits.softmax(dim=-1) @ v).unflatten(1, (self.heads, -1))
        return self.out_proj(join_heads(mixed @ self.values) + self.offset)


class FewKeysAttention(nn.Module):
    """Many tokens attend to few; queries come as they are, not projected."""

    def __init__(self, attention: ProjectedAttention) -> None:
        super().__init__()
        self.heads = heads = attention.heads
        self.q_proj = nn.Identity()
        self.k_proj = attention.k_proj
        self.v_proj = attention.v_proj
        queries = attention.q_proj.weight.detach().unflatten(0, (heads, -1))  # (heads, c, width)
        answers = attention.out_proj.weight.detach().T.unflatten(0, (heads, -1))
        scale = queries.shape[1] ** -0.5
        self.queries = nn.Buffer(queries * scale)
        bias = attention.q_proj.bias.detach().unflatten(0, (heads, -1, 1))
        self.query_offset = nn.Buffer(bias * scale)
        self.answers = nn.Buffer(answers.contiguous())
        self.offset = nn.Buffer(attention.out_proj.bias.detach())

    def mix(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
        """Attend from q (B, N, width) as they are to projected k, v (B, T, inner).

        `bias` is (B, 1, 1, T); gives (B, N, width).
        """
        k, v = split_heads(k, self.heads), split_heads(v, self.heads)
        reaching = (k @ self.queries).flatten(1, 2)
        constant = k @ self.query_offset  # (B, heads, T, 1)
        if bias is not None:
            constant = constant + bias.transpose(2, 3)
        logits = torch.baddbmm(constant.flatten(1, 2), reaching, q.transpose(1, 2))
        weights = logits.unflatten(1, (self.heads, -1)).softmax(dim=2).flatten(1, 2)
        answers = (v @ self.answers).flatten(1, 2)
        return torch.baddbmm(self.offset, weights.transpose(1, 2), answers)


def fold_few_tokens(transformer: TwoWayTransformer) -> None:
    """Fold the projections of every attention between tokens and image but those of block 0.

    The first block's image is known before the prompts, and so are its projections.
    """
    for layer in list(transformer.layers)[1:]:
        _replace(layer, "cross_attn_token_to_image", FewQueriesAttention)
        _replace(layer, "cross_attn_image_to_token", FewKeysAttention)
    _replace(transformer, "final_attn_token_to_image", FewQueriesAttention)


def _replace(
    owner: nn.Module, name: str, folded: Callable[[ProjectedAttention], nn.Module]
) -> None:
    setattr(owner, name, folded(cast(ProjectedAttention, owner.get_submodule(name))))
