// The nodes of a server: two, of which one is killed.

import assert from 'node:assert/strict'
import {begin, text} from './steps.mjs'

export default async ({open, ask, world, look}) => {
  const page = await open()
  await begin(page, world.signInURL)
  await page.getByRole('link', {name: 'Nodes'}).click()
  await page.getByRole('heading', {name: 'Nodes'}).waitFor()
  const rows = () => page.locator('tbody tr').allInnerTexts()
  // until looks again until the rows are as they are to be: a node that a busy machine holds up is silent for a moment.
  const until = async (what, is) => {
    for (const end = Date.now() + world.patience; !is(await rows());) {
      assert.ok(Date.now() < end, `${what}: ${await text(page, 'table')}`)
      await page.waitForTimeout(100)
      await page.reload()
    }
  }
  await until('both serve', all => all.length === 2 && all.every(row => row.includes('serving')))
  await ask('kill the other node')
  await until('the other one is silent, and only that one',
    all => all.length === 2 && all.every(row => row.includes(row.startsWith('other') ? 'silent' : 'serving')))
  await page.getByText('A node is silent.').waitFor()
  await look(page, 'nodes')
}
