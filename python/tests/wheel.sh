#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# python/tests/wheel.sh WHEEL: installs it into a fresh virtual environment, asks the model that is in it, and removes it.
set -euo pipefail
wheel=$(realpath "$1")
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
unset PYTHONPATH GPTJT_LIBRARY GPTJT_MODEL LD_LIBRARY_PATH
python3 -m venv fresh
fresh/bin/pip install -q "$wheel"
cat > use.py << 'EOF'
import os
import sys
from gptjt import AutoTokenizer, _library, classify, pipeline
pipe = pipeline()
answer = pipe("Country: India\nCurrency:", stop="\n", return_full_text=False)
assert answer == [{"generated_text": " Indian Rupee"}], answer
assert classify("i feel so happy and thankful today", ["sadness", "joy"], model=pipe.model).label == "joy"
assert AutoTokenizer.from_pretrained().decode([2140, 452, 2572]) == " Indian Rupee"
with open("/proc/self/maps") as f:
    loaded = {line.split()[-1] for line in f if ".so" in line}
ours = [path for path in loaded if "gptjt" in path]
assert ours and all(path.startswith(sys.prefix) for path in ours), ours
print(f"used: {len(ours)} libraries of the wheel: {', '.join(sorted(map(os.path.basename, ours)))}")
EOF
fresh/bin/python use.py
fresh/bin/pip uninstall -q -y gptjt
left=$(find fresh -iname '*gptjt*')
[ -z "$left" ] || { echo "left behind: $left" >&2; exit 1; }
echo 'removed: nothing is left'
