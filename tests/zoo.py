"""Small networks of many architectures of the package spandrel, with random weights, to test attribution on.

Each is as small as spandrel still recognises: ``spandrel.ModelLoader().load_from_state_dict(network.state_dict())``
finds the same hyperparameters and makes the same network. What cannot be told from a state dict has the value that
spandrel assumes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


@dataclass(frozen=True)
class Specimen:
    """How to make one network, and what it takes.

    ``architecture``: spandrel's id, which is also its module's name. ``name``, ``arguments``: of the class; arguments
    that are not there have the values that the class assumes. ``size``: height and width of a small input.
    ``channels``, ``out``: of the input and the output. ``gain``: of each layer: signals neither fade nor explode.
    """

    architecture: str
    name: str
    scale: int
    arguments: Mapping[str, Any]
    size: int = 16
    channels: int = 3
    out: int = 3
    gain: float = 1.0

    def build(self, seed: int = 0) -> nn.Module:
        """The network in eval mode, its weights drawn by ``seed``."""
        module = import_module(f"spandrel.architectures.{self.architecture}")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = getattr(module, self.name)(**self.arguments)
            randomize(network, self.gain)
        return network.eval()

    def example(self, seed: int = 0) -> tuple[Tensor, Tensor]:
        """An input (1, channels, size, size) and a ground truth (1, out, scale * size, scale * size), in [0, 1]."""
        generator = torch.Generator().manual_seed(seed)
        side = self.scale * self.size
        return (
            torch.rand(1, self.channels, self.size, self.size, generator=generator),
            torch.rand(1, self.out, side, side, generator=generator),
        )


@torch.no_grad()
def randomize(network: nn.Module, gain: float = 1.0) -> None:
    """Draw all weights anew from PyTorch's generator, so that no part of the network is idle.

    Architectures begin with scales of 0 or 1e-6, biases of 0 and weights of 0.02, with which whole blocks do nothing.
    """
    for layer in network.modules():
        if type(layer).__name__ == "MeanShift":  # the mean of all photographs, which is not trained
            continue
        for name, value in layer.named_parameters(recurse=False):
            if isinstance(layer, LAYERS) and name == "weight":
                # What keeps the variance of the layer's input: 1 / fan-in, which stands first if it is transposed.
                fan_in = value[:, 0].numel() if isinstance(layer, nn.ConvTranspose2d) else value[0].numel()
                value.normal_(std=gain * fan_in**-0.5)
            else:
                value.add_(torch.randn_like(value), alpha=0.1)
        for name, value in layer.named_buffers(recurse=False):
            if name == "running_mean":
                value.normal_(std=0.1)
            elif name == "running_var":
                value.uniform_(0.5, 1.5)


def vary(weights: dict[str, Tensor], network: nn.Module, share: float = 0.03, seed: int = 1) -> dict[str, Tensor]:
    """Weights that differ by about ``share`` of each value, as a fine-tuned network's; ``network`` says what moves.

    Parameters and running statistics move; tables and masks, which are buffers as well, do not.
    """
    generator = torch.Generator().manual_seed(seed)
    moving = {name for name, _ in network.named_parameters()}
    moving |= {name for name, _ in network.named_buffers() if name.endswith(("running_mean", "running_var"))}
    return {
        name: value * (1 + share * torch.randn(value.shape, generator=generator)) if name in moving else value.clone()
        for name, value in weights.items()
    }


def with_new_keys(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """An ESRGAN's weights under the names of its second implementation, which most published files have."""
    last = max(int(name.split(".")[1]) for name in weights)
    up = range(3, last - 3, 3)
    heads = {"0": "conv_first", str(last - 2): "conv_hr", str(last): "conv_last"}
    heads |= {str(place): f"conv_up{number}" for number, place in enumerate(up, 1)}
    renamed = {}
    for name, value in weights.items():
        match name.split("."):
            case ["model", "1", "sub", block, dense, conv, "0", kind]:
                renamed[f"body.{block}.{dense.lower()}.{conv}.{kind}"] = value
            case ["model", "1", "sub", _, kind]:
                renamed[f"conv_body.{kind}"] = value
            case ["model", place, kind]:
                renamed[f"{heads[place]}.{kind}"] = value
    return renamed


# fmt: off
NETWORKS: dict[str, Specimen] = {
    "compact": Specimen("Compact", "Compact", 2, {"num_feat": 8, "num_conv": 2, "upscale": 2}),
    "esrgan": Specimen("ESRGAN", "ESRGAN", 4, {"num_filters": 8, "num_blocks": 1, "scale": 4}),
    "esrgan_unshuffle": Specimen("ESRGAN", "ESRGAN", 2, {"in_nc": 12, "num_filters": 8, "num_blocks": 1, "scale": 4,
        "shuffle_factor": 2}),
    "esrgan_plus": Specimen("ESRGAN", "ESRGAN", 2, {"num_filters": 8, "num_blocks": 1, "scale": 2, "plus": True}),
    "swinir": Specimen("SwinIR", "SwinIR", 2, {"img_size": 16, "window_size": 4, "embed_dim": 8, "depths": [2],
        "num_heads": [2], "mlp_ratio": 2.0, "upscale": 2, "upsampler": "pixelshuffledirect"}),
    "swin2sr": Specimen("Swin2SR", "Swin2SR", 2, {"img_size": 16, "window_size": 4, "embed_dim": 8, "depths": [2],
        "num_heads": [2], "mlp_ratio": 2.0, "upscale": 2, "upsampler": "pixelshuffledirect"}),
    "hat": Specimen("HAT", "HAT", 2, {"img_size": 64, "window_size": 4, "embed_dim": 8, "depths": (2,),
        "num_heads": (2,), "compress_ratio": 2, "squeeze_factor": 2, "mlp_ratio": 2.0, "upscale": 2, "num_feat": 8}),
    "dat": Specimen("DAT", "DAT", 2, {"img_size": 16, "split_size": [2, 4], "embed_dim": 32, "depth": [3],
        "num_heads": [2], "expansion_factor": 2.0, "upscale": 2, "upsampler": "pixelshuffledirect"}),
    "omnisr": Specimen("OmniSR", "OmniSR", 2, {"num_feat": 16, "window_size": 4, "up_scale": 2}),
    "nafnet": Specimen("NAFNet", "NAFNet", 1, {"width": 4, "middle_blk_num": 1, "enc_blk_nums": [1, 1],
        "dec_blk_nums": [1, 1]}),
    "uformer": Specimen("Uformer", "Uformer", 1, {"win_size": 2, "embed_dim": 4, "depths": [1] * 9,
        "num_heads": [1] * 9, "mlp_ratio": 2.0}, size=32),
    "dncnn": Specimen("DnCNN", "DnCNN", 1, {"in_nc": 3, "out_nc": 3, "nc": 8, "nb": 9, "act_mode": "R"}, gain=1.4),
    "dncnn_batchnorm": Specimen("DnCNN", "DnCNN", 1, {"in_nc": 1, "out_nc": 1, "nc": 8, "nb": 5, "act_mode": "BR"},
        channels=1, out=1, gain=1.4),
    "drunet": Specimen("DRUNet", "DRUNet", 1, {"in_nc": 4, "out_nc": 3, "nc": [4, 6, 8, 10], "nb": 2}, channels=4),
    "span": Specimen("SPAN", "SPAN", 2, {"num_in_ch": 3, "num_out_ch": 3, "feature_channels": 6, "upscale": 2,
        "norm": False}),
    "plksr": Specimen("PLKSR", "PLKSR", 2, {"dim": 8, "n_blocks": 1, "upscaling_factor": 2, "kernel_size": 5}),
    "realplksr": Specimen("PLKSR", "RealPLKSR", 2, {"dim": 8, "n_blocks": 1, "upscaling_factor": 2,
        "kernel_size": 5}),
    "realplksr_dysample": Specimen("PLKSR", "RealPLKSR", 2, {"dim": 8, "n_blocks": 1, "upscaling_factor": 2,
        "kernel_size": 5, "dysample": True, "layer_norm": True}),
    "realcugan": Specimen("RealCUGAN", "UpCunet2x", 2, {"in_channels": 3, "out_channels": 3}, size=24),
    "rcan": Specimen("RCAN", "RCAN", 2, {"scale": 2, "n_resgroups": 1, "n_resblocks": 1, "n_feats": 8,
        "reduction": 4}),
    "mosr": Specimen("MoSR", "MoSR", 2, {"upscale": 2, "n_block": 1, "dim": 8}),
    "fdat": Specimen("FDAT", "FDAT", 2, {"scale": 2, "embed_dim": 8, "num_groups": 1, "depth_per_group": 1,
        "num_heads": 2, "window_size": 4, "aim_reduction_ratio": 2, "mid_dim": 8,
        "upsampler_type": "pixelshuffledirect"}),
    "safmn": Specimen("SAFMN", "SAFMN", 2, {"dim": 8, "n_blocks": 1, "upscaling_factor": 2}),
    "seemore": Specimen("SeemoRe", "SeemoRe", 2, {"scale": 2, "num_experts": 3, "num_layers": 1, "embedding_dim": 8}),
    "ditn": Specimen("DITN", "DITN", 2, {"dim": 12, "ITL_blocks": 1, "SAL_blocks": 1, "upscale": 2}),
    "craft": Specimen("CRAFT", "CRAFT", 2, {"window_size": 16, "embed_dim": 32, "depths": [1], "num_heads": [2],
        "upscale": 2}),
    "kbnet_s": Specimen("KBNet", "KBNet_s", 1, {"width": 4, "middle_blk_num": 1, "enc_blk_nums": [1],
        "dec_blk_nums": [1]}),
    "mixdehazenet": Specimen("MixDehazeNet", "MixDehazeNet", 1, {"embed_dims": [8] * 5, "depths": [1] * 5}, size=40),
    "retinexformer": Specimen("RetinexFormer", "RetinexFormer", 1, {"n_feat": 8, "stage": 1}),
    "ipt": Specimen("IPT", "IPT", 2, {"patch_size": 12, "patch_dim": 3, "n_feats": 4, "num_heads": 12,
        "num_layers": 1, "scale": [2], "rgb_range": 1}, size=12),
    "swiftsrgan": Specimen("SwiftSRGAN", "SwiftSRGAN", 2, {"num_channels": 8, "num_blocks": 1, "upscale_factor": 2}),
    "dctlsa": Specimen("DCTLSA", "DCTLSA", 2, {"nf": 10, "num_modules": 6, "upscale": 2}, gain=0.5),
    "atd": Specimen("ATD", "ATD", 2, {"embed_dim": 8, "depths": [2], "num_heads": [2], "window_size": 4,
        "num_tokens": 4, "reducted_dim": 2, "convffn_kernel_size": 3, "upscale": 2,
        "upsampler": "pixelshuffledirect"}),
    "hvicidnet": Specimen("HVICIDNet", "HVICIDNet", 1, {"channels": [4, 4, 8, 16], "heads": [1, 1, 2, 2]}),
    "fftformer": Specimen("FFTformer", "FFTformer", 1, {"dim": 4, "num_blocks": [1, 1, 1],
        "num_refinement_blocks": 1}, size=32, gain=0.7),
    "grl": Specimen("GRL", "GRL", 1, {"embed_dim": 8, "window_size": 8, "stripe_size": [8, 8], "stripe_shift": True,
        "anchor_window_down_factor": 4, "depths": [1], "num_heads_window": [2], "num_heads_stripe": [2]}),
    "moesr": Specimen("MoESR", "MoESR", 2, {"scale": 2, "dim": 8, "n_blocks": 1, "n_block": 1, "upsample_dim": 8}),
    "drct": Specimen("DRCT", "DRCT", 2, {"img_size": 16, "embed_dim": 8, "depths": (1,), "num_heads": (2,),
        "window_size": 4, "upscale": 2, "upsampler": "pixelshuffle", "gc": 4}),
    "rgt": Specimen("RGT", "RGT", 2, {"embed_dim": 32, "depth": [2], "num_heads": [2], "upscale": 2}),
    "safmn_bcie": Specimen("SAFMNBCIE", "SAFMNBCIE", 1, {"dim": 8, "n_blocks": 1, "num_layers": 1,
        "upscaling_factor": 1}),
}
# fmt: on
