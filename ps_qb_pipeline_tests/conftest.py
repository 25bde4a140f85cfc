"""What holds for every test: generated cases are not timed, and in CI they are the same each time."""

import os

from hypothesis import settings

settings.register_profile("psqb", deadline=None, print_blob=True)
settings.register_profile("ci", settings.get_profile("psqb"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "psqb")
