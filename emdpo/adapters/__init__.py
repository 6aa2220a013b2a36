"""Type policies as LoRA adapters on a language model: torch, transformers and peft only here."""
