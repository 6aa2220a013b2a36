"""Entry of the Hugging Face Space: the same page as `emdpo app`."""

from emdpo.ui.app import launch

if __name__ == "__main__":
    launch()
