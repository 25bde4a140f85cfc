"""``python -m ps_qb_pipeline_tests.recon_truth --orders 5000 --seed 1``.

A shop's history is booked by the pipeline's own steps. Then both sandboxes are edited over their own
interfaces, and a payout file is delivered. The reconciliation gets no list of that. What it says is
compared with what was done: the code that ``docs/exceptions.md`` promises for each kind, and the money
to the cent. The last line is JSON; the exit code is 0 only when everything was found and nothing else.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ps_qb_pipeline_tests.recon_truth.trial import run


def main() -> int:
    """Runs the test and prints its figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--orders", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shop", choices=("retail", "boutique"), default="boutique")
    parser.add_argument("--retail-data", type=Path)
    parser.add_argument(
        "--armed", action="store_true", help="Leave posting on, so that the pipeline may answer the edits."
    )
    given = parser.parse_args()
    figures = run(given.shop, given.orders, given.seed, given.retail_data, armed=given.armed)
    print(json.dumps(figures))
    count = figures["injected"]
    good = figures["found"] == figures["right_code"] == figures["right_amount"] == count
    return 0 if good and not figures["false_alarms"] and figures["unclassified"] == "0.00" else 1


if __name__ == "__main__":
    sys.exit(main())
