"""What the Learn page computes: small worlds with exact answers. No torch, no gradio, no plotly."""
