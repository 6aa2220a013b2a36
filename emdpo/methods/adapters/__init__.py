"""Methods whose policies are LoRA adapters on a language model, beside the log-linear ones."""
