"""Check what `depth_nb demo --quick` wrote: python .ci/check_demo.py FOLDER"""
import json
import subprocess
import sys
from pathlib import Path

import cv2
import pandas as pd

out = Path(sys.argv[1])
need = ["model.keras", "history.csv", "scores.csv", "summary.csv", "panels.png", "point_cloud.html", "report.html"]
missing = [n for n in need if not (out / n).is_file() or (out / n).stat().st_size == 0]
assert not missing, f"{out}: missing or empty: {missing}"
summary = pd.read_csv(out / "summary.csv", index_col=0)
scores = pd.read_csv(out / "scores.csv")
print(summary.round(3).to_string())
assert scores["abs_rel"].between(0, 10).all() and len(scores) > 10, "scores.csv is not plausible"
ratio = summary.loc["U-Net", "abs_rel"] / summary.loc["mean depth map", "abs_rel"]
assert ratio < 1, f"the short demo learned nothing: AbsRel is {ratio:.2f} of the mean depth map's"
assert cv2.imread(str(out / "panels.png")).std() > 10, "panels.png is blank"
html = (out / "report.html").read_text(encoding="utf-8")
assert "AbsRel" in html and "data:image/png;base64," in html and "point_cloud.html" in html, "report.html is incomplete"
assert "plotly" in (out / "point_cloud.html").read_text(encoding="utf-8").lower()
# The model loads with nothing but Keras, in a process that never imports depth_nb.
code = f"""
import keras, numpy as np, sys
m = keras.saving.load_model({str(out / 'model.keras')!r})
d = m.predict(np.full((1, 97, 131, 3), 128, 'uint8'), verbose=0)
assert d.shape == (1, 97, 131, 1) and np.isfinite(d).all() and (d > 0).all(), d.shape
assert not any(k.startswith('depth_nb') for k in sys.modules)
print('plain Keras loads the model; a grey picture is', round(float(d.mean()), 2), 'm away')
"""
subprocess.run([sys.executable, "-c", code], check=True)
print(json.dumps({"demo": "ok", "abs_rel_ratio": round(float(ratio), 3)}))
