// The nodes of a server: two, of which one is killed.

import assert from 'node:assert/strict'
import {begin, text} from './steps.mjs'

export default async ({open, ask, world, look}) => {
  const page = await open()
  await begin(page, world.signInURL)
  await page.getByRole('link', {name: 'Nodes'}).click()
  await page.getByRole('heading', {name: 'Nodes'}).waitFor()
  assert.equal(await page.locator('tbody tr').count(), 2)
  assert.equal(await page.getByText('serving').count(), 2)
  await ask('kill the other node')
  for (let tries = 0; tries < 100 && await page.getByText('A node is silent.').count() === 0; tries++) {
    await page.waitForTimeout(100)
    await page.reload()
  }
  const rows = await page.locator('tbody tr').allInnerTexts()
  assert.match(rows.find(row => row.includes('silent')), /^other/)
  assert.match(await text(page, 'table'), /serving/)
  await look(page, 'nodes')
}
