"""Encoded features kept on disk by content, so that the same table is encoded once."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from labelwise import __version__
from labelwise.data.columns import is_image_name
from labelwise.data.encoder import Encoder

ENVIRONMENT = "LABELWISE_CACHE"
"""The environment variable that names the folder of cached features."""
