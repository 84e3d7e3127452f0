"""ZeroKit: Gradio Spaces on Hugging Face ZeroGPU."""

__version__ = "0.1.0"
