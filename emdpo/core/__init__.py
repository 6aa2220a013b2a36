"""The mathematics of emdpo: NumPy, SciPy, pandas and scikit-learn only, no torch, no gradio."""
