"""Laws of device and precision: what is asked for is granted, or refused where the machine has it not."""

import pytest
import torch

from faig.base.compute import Compute, ComputeParams, has_native_bf16, resolve
from faig.base.errors import InputError
from faig.networks.models import NetworkParams, NetworkSpec, build_network


def params(**values):
    return ComputeParams(
        **({"device": "auto", "precision": "auto", "threads": None, "workers": None, "launcher": None} | values)
    )


def test_auto_precision_is_bf16_only_where_the_hardware_has_it():
    compute = resolve(params(device="cpu"))
    assert compute.device.type == "cpu"
    assert compute.precision == ("bf16" if has_native_bf16(compute.device) else "fp32")


def test_a_wish_for_precision_is_granted():
    assert resolve(params(device="cpu", precision="fp32")).precision == "fp32"
    assert resolve(params(device="cpu", precision="bf16")).precision == "bf16"


def test_cuda_without_a_cuda_device_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"compute\.device = 'cuda'"):
        resolve(params(device="cuda"))


def test_threads_are_set_and_described():
    before = torch.get_num_threads()
    try:
        assert resolve(params(device="cpu", threads=1)).describe()["threads"] == "1"
    finally:
        torch.set_num_threads(before)


def test_bf16_is_close_to_fp32_and_weights_stay_fp32():
    network = build_network(NetworkSpec(params=NetworkParams(name="srresnet", width=4, depth=1), scale=2))
    lr = torch.rand(1, 3, 8, 8)
    outputs = []
    for precision in ("fp32", "bf16"):
        compute = Compute(device=torch.device("cpu"), precision=precision)
        with compute.autocast(), torch.no_grad():
            outputs.append(network(compute.to_device(lr)).float())
    torch.testing.assert_close(outputs[0], outputs[1], atol=0.03, rtol=0.03)
    assert {value.dtype for value in network.state_dict().values()} == {torch.float32}


def test_gradients_of_single_images_are_taken_contiguous_where_bf16_is_not_native():
    resolved = resolve(params(device="cpu", precision="fp32"))
    assert resolved.to_device(torch.rand(1, 3, 8, 8)).is_contiguous(memory_format=torch.channels_last)
    assert resolved.for_gradients().to_device(torch.rand(1, 3, 8, 8)).is_contiguous()
    assert resolved.for_gradients().precision == "fp32"
    assert resolve(params(device="cpu", precision="bf16")).for_gradients().channels_last


def test_an_unknown_precision_is_refused_and_a_device_may_be_named():
    with pytest.raises(ValueError, match="precision = 'float64' must be bf16, fp32 or fp64"):
        Compute("cpu", "float64")  # pyright: ignore
    assert Compute("cpu", "fp32").device == torch.device("cpu")  # pyright: ignore


def test_processes_of_one_machine_share_its_cores(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    try:
        assert resolve(params(device="cpu")).describe()["threads"] == "3"
    finally:
        torch.set_num_threads(before)
