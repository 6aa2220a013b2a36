"""emdpo: discover preference types behind rankings, serve each, and audit who is badly served."""
