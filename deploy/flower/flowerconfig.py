"""Flower's configuration: `celery -A diracx_tasks flower --conf=deploy/flower/flowerconfig.py`.

Flower executes this file after it has read FLOWER_* and the command line. Names that it assigns are Flower's
options, such as `natural_time = True`.
"""

import sys
from pathlib import Path

from flower import urls
from tornado.options import options

sys.path.insert(0, str(Path(__file__).parent))

import diracx_flower

diracx_flower.require_authentication(options)
diracx_flower.add_pages(urls.handlers, urls.settings)
