// How pages look: photographed in light, dark and narrow, held against the rules of axe, and never wider than the window.

import {join} from 'node:path'

const windows = [
  {name: 'light', colorScheme: 'light', viewport: {width: 1280, height: 900}},
  {name: 'dark', colorScheme: 'dark', viewport: {width: 1280, height: 900}},
  {name: 'narrow', colorScheme: 'light', viewport: {width: 320, height: 640}},
]

export const looks = (folder, axe, complaints) => async (page, name) => {
  await page.evaluate(axe)
  for (const {name: window, colorScheme, viewport} of windows) {
    await page.emulateMedia({colorScheme})
    await page.setViewportSize(viewport)
    await page.screenshot({path: join(folder, `${name}-${window}.png`), fullPage: true})
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
    if (wide > 0) complaints.push(`${name} ${window}: ${wide} pixels wider than the window`)
    const violations = await page.evaluate(async () => (await globalThis.axe.run({resultTypes: ['violations']})).violations)
    for (const v of violations) {
      complaints.push(`${name} ${window}: ${v.id}: ${v.help}: ${v.nodes.map(n => n.html).join(' ')}`)
    }
  }
}
