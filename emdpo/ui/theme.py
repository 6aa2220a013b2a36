"""Colours and fonts of the page; the fonts come with Gradio, nothing is fetched."""

from __future__ import annotations

from gradio import themes
from gradio.themes.utils.fonts import LocalFont

LINK, LINK_DARK = "#0b5c94", "#6cc0f0"


def theme() -> themes.Base:
    """Return a calm theme: deep blue, slate greys, little shadow."""
    base = themes.Base(
        primary_hue=themes.colors.blue,
        secondary_hue=themes.colors.sky,
        neutral_hue=themes.colors.slate,
        radius_size=themes.sizes.radius_md,
        font=(LocalFont("IBM Plex Sans", weights=(400, 700)), "system-ui", "sans-serif"),
        font_mono=(LocalFont("IBM Plex Mono", weights=(400, 700)), "ui-monospace", "monospace"),
    )
    return base.set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        block_info_text_color="*neutral_500",
        block_info_text_color_dark="*neutral_400",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_width="1px",
        block_border_color="*neutral_200",
        block_border_color_dark="*neutral_800",
        block_label_text_weight="600",
        block_title_text_weight="600",
        button_primary_background_fill="#0b5c94",
        button_primary_background_fill_hover="#084a7d",
        button_primary_background_fill_dark="#1b78b8",
        button_primary_background_fill_hover_dark="#2a8fd4",
        button_primary_text_color="white",
        button_border_width="0px",
        checkbox_border_color="*neutral_400",
        checkbox_border_color_dark="*neutral_500",
        checkbox_label_border_width="0px",
        input_background_fill="white",
        input_background_fill_dark="*neutral_800",
        input_border_width="1px",
        input_border_color="*neutral_400",
        input_border_color_dark="*neutral_600",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        link_text_color=LINK,
        link_text_color_active=LINK,
        link_text_color_hover=LINK,
        link_text_color_visited=LINK,
        link_text_color_dark=LINK_DARK,
        link_text_color_active_dark=LINK_DARK,
        link_text_color_hover_dark=LINK_DARK,
        link_text_color_visited_dark=LINK_DARK,
    )
