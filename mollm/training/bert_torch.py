"""The BERT of `embeddings.bert_forward` as a module of torch, so that it can be trained; its arrays are named alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DROPPED = 0.1
"""Share of the states that are left out while it learns."""


class Encoder(nn.Module):
    """Token numbers become vectors of length 1."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        width, epsilon = config["hidden_size"], config["layer_norm_eps"]
        inner, heads = config["intermediate_size"], config["num_attention_heads"]
        self.embeddings = nn.ModuleDict(
            {
                "word_embeddings": nn.Embedding(config["vocab_size"], width),
                "position_embeddings": nn.Embedding(config["max_position_embeddings"], width),
                "token_type_embeddings": nn.Embedding(config["type_vocab_size"], width),
                "LayerNorm": nn.LayerNorm(width, eps=epsilon),
            }
        )
        layers = [_Layer(width, inner, heads, epsilon) for _ in range(config["num_hidden_layers"])]
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(layers)})

    def forward(self, texts: Sequence[Sequence[int]]) -> Tensor:
        """Turn texts into the means of their tokens' states, of length 1: shape (n, d)."""
        device = self.embeddings["word_embeddings"].weight.device
        rows = [torch.tensor(text, device=device) for text in texts]
        tokens = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        lengths = torch.tensor([len(row) for row in rows], device=device)
        real = torch.arange(tokens.shape[1], device=device) < lengths[:, None]
        parts = self.embeddings
        state = parts["word_embeddings"](tokens) + parts["position_embeddings"].weight[: tokens.shape[1]]
        state = parts["LayerNorm"](state + parts["token_type_embeddings"].weight[0])
        state = functional.dropout(state, DROPPED, self.training)
        for layer in self.encoder["layer"]:
            state = layer(state, real[:, None, None, :])
        return functional.normalize((state * real[:, :, None]).sum(dim=1), dim=1)


class _Layer(nn.Module):
    def __init__(self, width: int, inner: int, heads: int, epsilon: float) -> None:
        super().__init__()
        self.heads = heads
        parts = {name: nn.Linear(width, width) for name in ("query", "key", "value")}
        self.attention = nn.ModuleDict({"self": nn.ModuleDict(parts), "output": _added(width, width, epsilon)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, inner)})
        self.output = _added(inner, width, epsilon)

    def forward(self, state: Tensor, real: Tensor) -> Tensor:
        maps = self.attention["self"]
        split = (*state.shape[:2], self.heads, -1)
        query, key, value = (maps[name](state).view(split).transpose(1, 2) for name in ("query", "key", "value"))
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=real)
        state = self._add(self.attention["output"], mixed.transpose(1, 2).reshape(state.shape), state)
        return self._add(self.output, functional.gelu(self.intermediate["dense"](state)), state)

    def _add(self, part: nn.ModuleDict, inner: Tensor, state: Tensor) -> Tensor:
        return part["LayerNorm"](state + functional.dropout(part["dense"](inner), DROPPED, self.training))


def _added(into: int, out: int, epsilon: float) -> nn.ModuleDict:
    return nn.ModuleDict({"dense": nn.Linear(into, out), "LayerNorm": nn.LayerNorm(out, eps=epsilon)})
