"""Kill processes in the midst of their work, then let one finish: the result must equal an undisturbed one, bit for bit.

    python .ci/kill.py                 # all jobs, 60 kills
    python .ci/kill.py --kills 200 --seed 7 download extraction

Each job is a Python snippet that runs in a process of its own and is killed (SIGKILL) at a random moment after its imports,
again and again on the same folder. If it gets done before it is killed, the result is compared and the folder emptied.
To add a job, write a `make_...` function that prepares its input and returns a Job, and put it into JOBS.
"""
import argparse
import hashlib
import http.server
import io
import os
import random
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

ROOT = Path(__file__).resolve().parent.parent


def hash_folder(folder):
    """Checksum of all files below a folder, names and contents, without hidden ones (locks, notes, leftovers)."""
    h = hashlib.sha256()
    for p in sorted(Path(folder).rglob("*")):
        if p.is_file() and not any(part.startswith(".") for part in p.relative_to(folder).parts):
            h.update(f"{p.relative_to(folder).as_posix()}\0{p.stat().st_size}\0".encode())
            h.update(p.read_bytes())
    return h.hexdigest()


@dataclass
class Job:
    work: str  # the snippet that is killed; `out` is the folder it fills (a Path), `args` the list below as text
    imports: str  # done before the clock starts
    args: list = field(default_factory=list)
    hash: Callable = hash_folder  # folder -> text that must be the same in the end
    whole: Callable = None  # folder -> True if what is there may be used; must be False whenever `hash` is not the right one
    clean: Callable = lambda out: []  # folder -> what should have been swept away by the last run


class _Range(http.server.SimpleHTTPRequestHandler):
    """A slow file server that can resume."""
    data, delay = b"", 0.005

    def log_message(self, *args):
        pass

    def do_GET(self):
        tag, wish = f'"{len(self.data)}"', re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(wish[1]) if wish and self.headers.get("If-Range", tag) == tag else 0
        self.send_response(206 if start else 200)
        self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(self.data) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(self.data) - 1}/{len(self.data)}")
        self.end_headers()
        try:
            for i in range(start, len(self.data), 2**16):
                self.wfile.write(self.data[i:i + 2**16])
                time.sleep(self.delay)
        except OSError:
            pass


def make_download(folder):
    """A file of 8 MB from a server on this machine."""
    _Range.data = random.Random(0).randbytes(8_000_000)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Range)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    md5 = hashlib.md5(_Range.data).hexdigest()
    return Job("fetch(args[0], out/'data.bin', md5=args[1], progress=False)", "from depth_nb.fetch import fetch",
               [f"http://127.0.0.1:{server.server_port}/data.bin", md5],
               # only the final name counts: data.bin.part is what the next run goes on with
               hash=lambda out: hashlib.md5((out/"data.bin").read_bytes()).hexdigest() if (out/"data.bin").exists() else "nothing",
               whole=lambda out: (out/"data.bin").exists(), clean=lambda out: [*out.glob("*.part")])


def make_extraction(folder):
    """An archive of 3,000 files; first one half of it, then the other, as people ask for indoor and outdoor scenes."""
    draw = random.Random(1)
    with tarfile.open(folder/"val.tar.gz", "w:gz", compresslevel=1) as tar:
        for i in range(3000):
            data = draw.randbytes(draw.randrange(100, 4000))
            m = tarfile.TarInfo(f"val/{('indoors', 'outdoor')[i % 2]}/scene_{i//500:05}/{i:05}.npy")
            m.size = len(data)
            tar.addfile(m, io.BytesIO(data))
    from depth_nb.fetch import is_extracted
    return Job("extract(args[0], out, 'val', 'val/indoors', progress=False); extract(args[0], out, 'val', progress=False)",
               "from depth_nb.fetch import extract", [folder/"val.tar.gz"], whole=lambda out: is_extracted(out, "val"),
               clean=lambda out: [*out.glob(".*.unpacking")])


def make_cache(folder):
    """A cache of 400 frames, one of them damaged, by two threads; noted every 20 ms, so that most kills meet half-finished work."""
    import numpy as np
    draw = np.random.default_rng(2)
    for i in range(400):
        np.save(folder/f"{i}.npy", draw.integers(0, 256, (48, 64, 4), np.uint8))
    (folder/"217.npy").write_bytes(b"damaged")
    imports = """import time, numpy as np, pandas as pd
from depth_nb.cache import build_cache, cache_key
def load(i):
    time.sleep(.004)
    a = np.load(files[i], allow_pickle=False)
    return a[..., :3], a[..., 3]/np.float32(25)
files = [f'{sys.argv[2]}/{i}.npy' for i in range(400)]
key = cache_key(pd.DataFrame(dict(image=files, depth=files, mask='', depth_scale=1.)), dict(size=[48, 64]))"""
    from depth_nb.cache import open_cache
    return Job("build_cache(load, 400, (48, 64), out, key, on_error='skip', progress=False, every=.02, workers=2)", imports, [folder],
               whole=lambda out: any(open_cache(p) for p in out.iterdir() if p.suffix != ".building"),
               clean=lambda out: [*out.glob("*.building"), *out.glob("*/journal.jsonl")])


def make_conversion(folder):
    """NYU's labelled set in its own layout, 60 frames, converted frame by frame to PNG."""
    import h5py
    import numpy as np
    import scipy.io
    n, draw = 60, np.random.default_rng(3)
    with h5py.File(folder/"labeled.mat", "w", userblock_size=512) as f:
        f["images"] = draw.integers(0, 256, (n, 3, 160, 120), np.uint8)
        f["depths"] = draw.uniform(.7, 10, (n, 160, 120)).astype("float32")
        names = [f.create_dataset(f"#refs#/n{i}", data=np.array([[ord(c)] for c in f"room_{i//3:04}"], np.uint16)) for i in range(n)]
        f.create_dataset("scenes", data=np.array([[d.ref for d in names]], dtype=h5py.ref_dtype), dtype=h5py.ref_dtype)
    with open(folder/"labeled.mat", "r+b") as f:
        f.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    numbers = np.arange(1, n + 1, dtype=np.uint16)[:, None]
    scipy.io.savemat(folder/"splits.mat", dict(trainNdxs=numbers[:40], testNdxs=numbers[40:]))
    imports = """import time, depth_nb.nyu as nyu
read = nyu.read_frame
def slow(*a): time.sleep(.01); return read(*a)
nyu.read_frame = slow"""
    return Job("nyu.convert_nyu(args[0], args[1], out/'labeled', progress=False)", imports, [folder/"labeled.mat", folder/"splits.mat"],
               whole=lambda out: (out/"labeled").exists(), clean=lambda out: [*out.glob(".*.part")])


JOBS = {"download": make_download, "extraction": make_extraction, "conversion": make_conversion, "cache": make_cache}


def start(job, out):
    """A process of the job that has done its imports and begins to work now."""
    code = (f"import sys\nfrom pathlib import Path\n{job.imports}\nout, args = Path(sys.argv[1]), sys.argv[2:]\n"
            f"if __name__ == '__main__':\n    print('ready', flush=True)\n    {job.work}\n")
    env = dict(os.environ, PYTHONPATH=os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]), no_proxy="127.0.0.1")
    p = subprocess.Popen([sys.executable, "-c", code, str(out), *map(str, job.args)], env=env, stdout=subprocess.PIPE,
                         start_new_session=True)  # its children are killed with it
    assert p.stdout.readline().strip() == b"ready", "the job failed on import"
    return p


def finish(job, out):
    """Run the job to its end; seconds."""
    p = start(job, out)
    t = time.perf_counter()
    assert p.wait(300) == 0, f"the job failed with status {p.returncode}"
    return time.perf_counter() - t


def disturb(name, job, kills, draw, folder):
    """Kill the job `kills` times, then let it finish; compare with an undisturbed run."""
    reference, out, begun = folder/"reference", folder/"out", time.perf_counter()
    reference.mkdir(), out.mkdir()
    seconds = finish(job, reference)
    want, killed, done = job.hash(reference), 0, 0
    while killed < kills:
        p = start(job, out)
        try:
            p.wait(draw.uniform(0, seconds*draw.choice((.1, .5, 1.))))  # early moments, too, as later runs begin where others ended
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, 9)
            killed += p.wait() == -9
        else:
            assert p.returncode == 0, f"{name}: failed after {killed} kills with status {p.returncode}"
        if job.whole and job.whole(out):
            assert job.hash(out) == want, f"{name}: taken for whole after {killed} kills, but is not"
            done += 1
            shutil.rmtree(out), out.mkdir()
    finish(job, out)
    assert job.hash(out) == want, f"{name}: differs from the undisturbed result after {killed} kills"
    assert not job.clean(out), f"{name}: left behind {job.clean(out)}"
    print(f"{name:12} {killed:4} kills, {done:3} times done all the same; equal bit for bit; undisturbed {seconds:.1f} s, "
          f"all {time.perf_counter() - begun:.0f} s", flush=True)
    return killed


def main():
    a = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    a.add_argument("jobs", nargs="*", help=f"some of {', '.join(JOBS)}; all if none is named")
    a.add_argument("--kills", type=int, default=60, help="in total, shared out evenly (default 60)")
    a.add_argument("--seed", type=int, default=None, help="of the random moments; default: another one each time, printed")
    a = a.parse_args()
    seed = random.randrange(10**6) if a.seed is None else a.seed
    jobs, begun, total = a.jobs or list(JOBS), time.perf_counter(), 0
    print(f"seed {seed}")
    sys.path.insert(0, str(ROOT))
    with tempfile.TemporaryDirectory(prefix="depth_nb_kill_") as tmp:
        for name in jobs:
            folder = Path(tmp)/name
            folder.mkdir()
            total += disturb(name, JOBS[name](folder), -(-a.kills//len(jobs)), random.Random(f"{seed} {name}"), folder)
    print(f"{total} kills in {time.perf_counter() - begun:.0f} s, all results equal")


if __name__ == "__main__":
    main()
