"""A small SwinIR (Liang et al. 2021) out of the package spandrel, to be trained here: attention, MLPs, convolutions."""

from torch import nn

from faig.networks.foreign import import_spandrel


def make_network() -> nn.Module:
    """RGB (N, 3, H, W) in [0, 1] -> (N, 3, 2H, 2W); it fills up to multiples of its windows itself."""
    import_spandrel()  # first: it does without torchvision where that cannot be imported
    from spandrel.architectures.SwinIR import SwinIR

    return SwinIR(
        img_size=32,
        embed_dim=32,
        depths=[2, 2],
        num_heads=[2, 2],
        window_size=8,
        mlp_ratio=2,
        drop_path_rate=0,
        upscale=2,
        upsampler="pixelshuffledirect",
    )
