"""Move the slider of `browse` in a real JupyterLab, and click a distance into `pick_distances`, and see the pictures change: python .ci/lab.py

Needs chromium and chromedriver (Debian: apt install chromium chromium-driver) and the package selenium;
where one of them is missing it says so and ends with status 0. --screenshot FILE keeps what was seen."""
import argparse, json, os, re, shutil, subprocess, sys, tempfile, time
from pathlib import Path

CELL = """from depth_nb.browser import browse
from depth_nb.rooms import make_room, render, sample_poses
from depth_nb.camera import Intrinsics
cam, room = Intrinsics.from_fov(128, 96, 60.), make_room(1007)
views = [render(room, p, cam) for p in sample_poses(room, 5)]
browse([v.rgb for v in views], [v.depth for v in views], [v.exact*1.1 for v in views], names=[f'view {i}' for i in range(5)], height=160)
"""
PICK = """from depth_nb.scale import at_pixels, pick_distances
half = views[0].exact/2
print(f'expected {4/at_pixels(half, [(64, 48)])[0]:.3f}')
pick_distances(views[0].rgb, half, height=160)
"""


def wait(what, look, seconds=90):
    """The first true answer of `look()`."""
    end = time.time() + seconds
    while time.time() < end:
        try:
            if found := look(): return found
        except Exception: pass
        time.sleep(.3)
    raise SystemExit(f"lab: FAILED: waited {seconds} s for {what}")


def start_lab(folder):
    """A JupyterLab on a free port: process and address."""
    log = folder/'lab.log'
    lab = subprocess.Popen([sys.executable, '-m', 'jupyterlab', '--no-browser', '--allow-root', '--port=0', '--expose-app-in-browser', f'--notebook-dir={folder}',
                            '--IdentityProvider.token=', '--LabApp.news_url=None', '--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate'],
                           stdout=open(log, 'w'), stderr=subprocess.STDOUT, env=os.environ | dict(JUPYTER_CONFIG_DIR=str(folder/'config'), TF_CPP_MIN_LOG_LEVEL='3'))
    return lab, wait('JupyterLab', lambda: re.search(r'http://(?:localhost|127\.0\.0\.1):\d+/lab', log.read_text())).group()


def start_browser(folder):
    from selenium import webdriver
    options = webdriver.ChromeOptions(); options.binary_location = shutil.which('chromium')
    for flag in ('--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update',
                 '--disable-sync', '--disable-dev-shm-usage', f'--user-data-dir={folder/"chrome"}', '--window-size=1500,1100'): options.add_argument(flag)
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which('chromedriver')))


def try_browse(driver, address):
    """Open the notebook, run it, move the slider, press a key, click a pixel."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    driver.get(f'{address}/tree/look.ipynb?reset')
    wait('the notebook', lambda: driver.execute_script("return !!window.jupyterapp && !!document.querySelector('.jp-Notebook .jp-CodeCell')"))
    wait('a kernel', lambda: driver.execute_script("return !!document.querySelector('.jp-Notebook-ExecutionIndicator[data-status=idle]')"))
    def picture():
        for button in driver.find_elements(By.CSS_SELECTOR, '.jp-Dialog .jp-mod-accept'): button.click() # which kernel? the one that is offered
        if driver.find_element(By.CSS_SELECTOR, '.jp-InputPrompt').text == '[ ]:': driver.execute_script("window.jupyterapp.commands.execute('notebook:run-all-cells')")
        return driver.find_element(By.CSS_SELECTOR, '.jp-OutputArea img.widget-image')
    image = wait('the picture', picture, 120)
    source = lambda: image.get_attribute('src')
    text = lambda: driver.find_element(By.CSS_SELECTOR, '.jp-OutputArea').text
    wait('frame 1', lambda: '1 of 5 · view 0' in text())
    before = source()
    ActionChains(driver).click(driver.find_element(By.CSS_SELECTOR, '.jp-OutputArea .noUi-handle')).send_keys(Keys.ARROW_RIGHT).perform()
    wait('frame 2 after the slider was moved', lambda: '2 of 5 · view 1' in text() and source() != before)
    before = source()
    ActionChains(driver).move_to_element(image).click().perform()
    wait('the metres of a pixel that was clicked', lambda: re.search(r'pixel \(\d+, \d+\): truth', text()) and source() != before)
    before = source()
    ActionChains(driver).send_keys(Keys.ARROW_RIGHT).perform()
    wait('frame 3 after the arrow key', lambda: '3 of 5 · view 2' in text() and source() != before)
    return next(line for line in text().splitlines() if '3 of 5' in line)


def try_pick(driver):
    """Click on the middle of the photo, type 4 metres, and read the scale that follows."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    area = wait('the second cell', lambda: next(a for a in driver.find_elements(By.CSS_SELECTOR, '.jp-Cell-outputArea') if 'expected' in a.text))
    photo, right = wait('photo and map', lambda: area.find_elements(By.CSS_SELECTOR, 'img.widget-image')[:2])
    driver.execute_script('arguments[0].scrollIntoView({block: "center"})', photo); time.sleep(1)
    sources = lambda: [i.get_attribute('src') for i in (photo, right)]
    before = sources()
    ActionChains(driver).move_to_element(photo).click().perform()
    field = wait('a field for the metres', lambda: area.find_element(By.CSS_SELECTOR, 'input[type=number]'))
    ActionChains(driver).click(field).key_down(Keys.CONTROL).send_keys('a').key_up(Keys.CONTROL).send_keys('4', Keys.ENTER).perform()
    found = wait('the scale', lambda: re.search(r'Scale\(([\d.]+) \* depth; 1 known points', area.text))
    wait('the mark and the new map', lambda: all(a != b for a, b in zip(before, sources())))
    expected = float(re.search(r'expected ([\d.]+)', area.text)[1])
    if abs(float(found[1])/expected - 1) > .05: raise SystemExit(f'lab: FAILED: the scale is {found[1]}, expected {expected}')
    return found.group() + ')'


def main():
    p = argparse.ArgumentParser(); p.add_argument('--screenshot', type=Path); args = p.parse_args()
    missing = [x for x in ('chromium', 'chromedriver') if not shutil.which(x)]
    try: import selenium
    except ImportError: missing.append('selenium')
    if missing: print(f'lab: skipped, {", ".join(missing)} not installed'); return
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        cells = [dict(cell_type='code', id=f'cell{i}', execution_count=None, metadata={}, outputs=[], source=s) for i, s in enumerate((CELL, PICK))]
        kernel = dict(kernelspec=dict(display_name='python3', language='python', name='python3'))
        (folder/'look.ipynb').write_text(json.dumps(dict(cells=cells, metadata=kernel, nbformat=4, nbformat_minor=5)))
        lab, address = start_lab(folder)
        try:
            driver = start_browser(folder)
            try:
                print('lab: the slider moves the picture;', try_browse(driver, address))
                print('lab: a click and 4 metres give', try_pick(driver))
            finally:
                if args.screenshot: driver.save_screenshot(str(args.screenshot))
                driver.quit()
        finally: lab.terminate(); lab.wait(20)


if __name__ == '__main__': main()
