"""Looking inside open_clip's towers without changing a weight: dense features, attention, text from embeddings.

All but `TowersEncoder` are functions of an open_clip module. What a tower has no notion of is refused with a ClipkitError
that says so.
"""

from __future__ import annotations

from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipkit.errors import ClipkitError
from clipkit.models.base import DualEncoder


class TowersEncoder(DualEncoder):
    """What every `DualEncoder` of open_clip's own modules does alike."""

    def _image(self, pixels: Tensor) -> Tensor:
        return self.module.encode_image(pixels)

    def _text(self, tokens: Tensor) -> Tensor:
        return encode_text(self.module, tokens)

    def _dense(self, pixels: Tensor) -> Tensor:
        return dense_map(self.module.visual, pixels)

    def _text_from_embeddings(self, embeddings: Tensor, tokens: Tensor) -> Tensor:
        return encode_text(self.module, tokens, embeddings)

    def token_embeddings(self, tokens: Tensor) -> Tensor:
        return word_embedding(self.module)(self._checked_tokens(tokens))

    def attention(self, pixels: Tensor) -> list[Tensor]:
        return attention_maps(self.module.visual, self._checked(pixels))


def blocks(visual: nn.Module) -> nn.ModuleList:
    """The transformer blocks of an image tower (open_clip's ViT or a timm ViT); ClipkitError without any."""
    transformer = getattr(visual, "transformer", None)
    trunk = getattr(visual, "trunk", None)
    found = getattr(transformer, "resblocks", None) if transformer is not None else getattr(trunk, "blocks", None)
    if found is None or not all(hasattr(b, "attn") for b in found):
        raise ClipkitError("this image tower has no attention layers to look into; use a vision transformer (ViT) architecture")
    return found


@contextmanager
def captured_inputs(modules: list[nn.Module]):
    """Collects the first argument each of `modules` is called with, in the order given."""
    seen: list[Tensor | None] = [None] * len(modules)

    def keep(i: int):
        def hook(module, args, kwargs):
            seen[i] = args[0] if args else next(iter(kwargs.values()))

        return hook

    handles = [m.register_forward_pre_hook(keep(i), with_kwargs=True) for i, m in enumerate(modules)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def attention_weights(attn: nn.Module, x: Tensor) -> Tensor:
    """softmax(q kᵀ / √d) of one attention module on its input x (N, T, W): (N, heads, T, T).

    Knows torch's MultiheadAttention, open_clip's Attention (query–key norm, scaled cosine) and timm's Attention.
    """
    n, t, _ = x.shape
    if isinstance(attn, nn.MultiheadAttention) or hasattr(attn, "in_proj_weight"):
        q, k, _ = F.linear(x, attn.in_proj_weight, attn.in_proj_bias).chunk(3, dim=-1)
        q, k = (z.reshape(n, t, attn.num_heads, -1).transpose(1, 2) for z in (q, k))  # (N, heads, T, d)
        if getattr(attn, "logit_scale", None) is not None:  # scaled cosine attention
            scale = attn.logit_scale.clamp(max=attn.logit_scale_max).exp()
            return (F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-1, -2) * scale).softmax(-1)
        q, k = getattr(attn, "ln_q", nn.Identity())(q), getattr(attn, "ln_k", nn.Identity())(k)
    elif type(attn).__name__ == "Attention" and isinstance(getattr(attn, "qkv", None), nn.Linear):  # timm, without rotary positions
        q, k, _ = attn.qkv(x).reshape(n, t, 3, attn.num_heads, -1).permute(2, 0, 3, 1, 4)
        q, k = attn.q_norm(q), attn.k_norm(k)
    else:
        raise ClipkitError(f"attention of type {type(attn).__name__} is not understood; use an open_clip or plain timm ViT")
    return (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)


def attention_maps(visual: nn.Module, pixels: Tensor) -> list[Tensor]:
    """One map (N, heads, T, T) a layer; token 0 is the class token where the tower has one."""
    modules = [b.attn for b in blocks(visual)]
    with captured_inputs(modules) as inputs:
        visual(pixels)
    return [attention_weights(m, x) for m, x in zip(modules, inputs, strict=True)]


def dense_map(visual: nn.Module, pixels: Tensor) -> Tensor:
    """Dense features (N, h, w, D), not normalised, in the joint space.

    ViT: the last layer attends to itself only, so each patch keeps its own value (MaskCLIP, arXiv:2112.01071;
    as in its official code the residual and the MLP stay). ResNet with attention pool: value and output
    projection at each cell. timm trunks: each cell goes alone through the pooling head, which for an average
    is the projection and for attention pooling is the value path.
    """
    kind = type(visual).__name__
    if kind == "VisionTransformer":
        return _dense_vit(visual, pixels)
    if kind == "ModifiedResNet":
        f = visual.forward_intermediates(pixels, indices=[4], intermediates_only=True)["image_intermediates"][0]
        pool = visual.attnpool
        return pool.c_proj(pool.v_proj(f.permute(0, 2, 3, 1)))
    if kind == "TimmModel":
        return _dense_timm(visual, pixels)
    if kind == "SmallConv":
        return visual.dense(pixels)
    raise ClipkitError(f"an image tower of type {kind} has no dense features here; use a ViT, a ResNet or a timm trunk")


def _dense_vit(visual: nn.Module, pixels: Tensor) -> Tensor:
    if visual.attn_pool is not None:
        raise ClipkitError("this ViT pools with learned queries (CoCa), so its patches do not live in the joint space; use a plain CLIP")
    last = visual.transformer.resblocks[-1]
    with captured_inputs([last]) as inputs:
        visual(pixels)
    x = inputs[0][:, 1:]  # (N, h·w, W), patches before the last block
    attn = last.attn
    v = F.linear(last.ln_1(x), attn.in_proj_weight, attn.in_proj_bias).chunk(3, dim=-1)[2]
    if getattr(attn, "head_scale", None) is not None:
        heads = v.reshape(*v.shape[:2], attn.num_heads, -1)
        v = (heads * attn.head_scale.reshape(1, 1, -1, 1)).reshape(v.shape)
    v = attn.out_proj(getattr(attn, "ln_inner", nn.Identity())(v))
    x = x + last.ls_1(getattr(last, "ln_attn", nn.Identity())(v))
    x = x + last.ls_2(last.mlp(last.ln_2(x)))
    return _grid(visual.ln_post(x), visual) @ visual.proj


def patch_map(visual: nn.Module, pixels: Tensor) -> Tensor:
    """The last layer's own patch tokens (N, h, w, D), projected; what a self-supervised ViT is used for."""
    out = []
    handle = visual.transformer.register_forward_hook(lambda module, args, output: out.append(output))
    try:
        visual(pixels)
    finally:
        handle.remove()
    x = _grid(visual.ln_post(out[0][:, 1:]), visual)
    return x if visual.proj is None else x @ visual.proj


def _grid(x: Tensor, visual: nn.Module) -> Tensor:
    return x.reshape(x.shape[0], *visual.grid_size, x.shape[-1])


def _dense_timm(visual: nn.Module, pixels: Tensor) -> Tensor:
    trunk = visual.trunk
    features = trunk.forward_features(pixels)
    n = features.shape[0]
    try:
        if features.ndim == 3:  # tokens (N, T, C): a ViT
            prefix = getattr(trunk, "num_prefix_tokens", 0)
            h, w = trunk.patch_embed.grid_size
            cells = features[:, prefix:].reshape(n * h * w, 1, -1).expand(-1, prefix + 1, -1)  # any pooling of copies is the copy
        elif features.shape[1] == trunk.num_features:  # maps (N, C, h, w)
            h, w = features.shape[2:]
            cells = features.permute(0, 2, 3, 1).reshape(n * h * w, -1, 1, 1)
        else:  # maps (N, h, w, C)
            h, w = features.shape[1:3]
            cells = features.reshape(n * h * w, 1, 1, -1)
        return visual.head(trunk.forward_head(cells)).reshape(n, h, w, -1)
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise ClipkitError(
            f"the pooling head of {type(trunk).__name__} cannot be applied cell by cell, so it has no dense features here; use a ViT"
        ) from error


# Text ---------------------------------------------------------------------------------------------


def word_embedding(module: nn.Module) -> nn.Module:
    """The embedding layer of an open_clip text tower (CLIP, CustomTextCLIP, or a Hugging Face tower)."""
    text = getattr(module, "text", module)
    if hasattr(text, "token_embedding"):
        return text.token_embedding
    if hasattr(getattr(text, "transformer", None), "get_input_embeddings"):
        return text.transformer.get_input_embeddings()
    raise ClipkitError(f"a text tower of type {type(text).__name__} gives no access to its word embeddings")


@contextmanager
def replaced_embeddings(module: nn.Module, embeddings: Tensor):
    """While open, the text tower's embedding layer returns `embeddings` whatever the tokens are."""
    handle = word_embedding(module).register_forward_hook(lambda layer, args, output: embeddings.to(output.dtype))
    try:
        yield
    finally:
        handle.remove()


def encode_text(module: nn.Module, tokens: Tensor, embeddings: Tensor | None = None) -> Tensor:
    """Raw text features (N, D), from `embeddings` (N, L, W) in place of the tokens' own where given.

    A causal tower that pools at the end-of-text token never looks behind it, so its columns are cut there:
    the same numbers for a fraction of the work (captions are short, contexts are not).
    """
    if can_pack(module) and len(tokens):
        return _encode_causal(module, tokens, embeddings)
    if embeddings is None:
        return module.encode_text(tokens)
    with replaced_embeddings(module, embeddings):
        return module.encode_text(tokens)


def can_pack(module: nn.Module) -> bool:
    """True for open_clip's plain causal text tower that pools at the end of text; others are encoded text by text."""
    return type(module).__name__ == "CLIP" and module.text_pool_type == "argmax" and module.attn_mask is not None


def _encode_causal(module: nn.Module, tokens: Tensor, embeddings: Tensor | None) -> Tensor:
    dtype = module.transformer.get_cast_dtype()
    if tokens.shape[1] > module.positional_embedding.shape[0]:
        raise ClipkitError(
            f"tokens are {tokens.shape[1]} long, this text tower takes {module.positional_embedding.shape[0]}; use model.tokenize"
        )
    end = tokens.argmax(dim=-1)  # the end-of-text token has the highest id
    length = int(end.max()) + 1
    x = module.token_embedding(tokens[:, :length]) if embeddings is None else embeddings[:, :length]
    x = x.to(dtype) + module.positional_embedding[:length].to(dtype)
    x = module.transformer(x, attn_mask=module.attn_mask[:length, :length])
    return project_text(module, x[torch.arange(len(x), device=x.device), end])


def project_text(module: nn.Module, x: Tensor) -> Tensor:
    """The last layers of open_clip's plain text tower, from its end-of-text tokens (N, W) to raw features (N, D)."""
    x, projection = module.ln_final(x), module.text_projection
    if projection is None:
        return x
    return projection(x) if isinstance(projection, nn.Linear) else x @ projection
