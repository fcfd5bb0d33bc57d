"""The table of networks that do more than classify an image: segmentation, detection, captions, faces, video, filters."""
from __future__ import annotations

from models.builder import Builder

TASKS: dict[str, Builder] = {
}
