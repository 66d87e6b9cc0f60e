"""The only part of Fabula that touches ComfyUI."""
