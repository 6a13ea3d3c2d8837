"""Seconds from a click on "Compute" to the bands of silicon in the browser, of `ase-phonax serve`.

    python benchmarks/first_picture.py [--times 3]

Needs Chromium with its driver, and selenium. Each run is a process of its own, as it is for a user.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ase.build import bulk
from ase.io import write
from selenium.webdriver import Chrome, ChromeOptions


def seconds(browser: Chrome, file: Path) -> float:
    """Of one run, with every option at its default."""
    before = browser.execute_script("return runs.length")
    browser.find_element("id", "file").send_keys(str(file))
    start = time.perf_counter()
    browser.find_element("id", "start").click()
    while browser.execute_script("return runs.filter((own) => own.state === 'done').length") <= before:
        time.sleep(0.02)
    browser.switch_to.frame("report")
    while not browser.find_elements("css selector", "#plot .scatterlayer .trace"):
        time.sleep(0.02)
    taken = time.perf_counter() - start
    browser.switch_to.default_content()
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=3)
    options = parser.parse_args()
    flags = ChromeOptions()
    for flag in ("headless=new", "no-sandbox", "enable-unsafe-swiftshader"):
        flags.add_argument(f"--{flag}")
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "Si.cif"
        write(file, bulk("Si"))
        command = [sys.executable, "-m", "ase_phonax", "serve", "--port", "0", "--folder", f"{place}/runs"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as application:
            url = re.search(r"http\S+", application.stdout.readline())[0]
            browser = Chrome(options=flags)
            try:
                browser.get(url)
                time.sleep(2)
                for _ in range(options.times):
                    print(f"{seconds(browser, file):.1f} s", flush=True)
            finally:
                browser.quit()
                application.terminate()


if __name__ == "__main__":
    main()
