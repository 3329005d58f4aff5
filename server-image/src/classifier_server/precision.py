"""In which number format a model computes."""

from __future__ import annotations

from typing import Literal

import torch

Precision = Literal["Auto", "BFloat16", "Float32"]


def choose_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """Auto: bfloat16 where the device has instructions for it, else float32."""
    if precision == "Auto":
        return torch.bfloat16 if _computes_bfloat16(device) else torch.float32
    return torch.bfloat16 if precision == "BFloat16" else torch.float32


def _computes_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))
