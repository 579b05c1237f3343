// How keys are used, and what is asked before one that is in use is deleted.

import assert from 'node:assert/strict'
import {begin, count, text} from './steps.mjs'

export default async ({open, world, look}) => {
  const page = await open()
  await begin(page, world.signInURL)
  await page.goto('/keys')
  await page.getByRole('link', {name: 'First key'}).click()
  await page.getByText('No checks in this time.').waitFor()
  await page.goto('/keys')
  await page.getByRole('link', {name: 'In use'}).click()
  assert.match(await text(page, '.totals'), /24 allowed\s+12 refused/)
  await page.getByText('As a table').click()
  assert.match(await text(page, '.numbers'), /scope lacking[^]*24\s+12\s+12/)
  await look(page, 'key-used')
  await page.getByRole('link', {name: 'Last 30 days'}).click()
  await page.getByText('today, in UTC').waitFor()
  assert.equal(await count(page.locator('.chart g')), 30)
  await page.getByRole('link', {name: 'Usage', exact: true}).click()
  await page.getByRole('heading', {name: 'Usage', exact: true}).waitFor()
  assert.match(await text(page, '.totals'), /24 allowed\s+12 refused/)
  await look(page, 'usage')

  await page.goBack()
  await page.getByRole('link', {name: 'Delete it'}).click()
  await page.getByLabel(/^Type its name/).fill('in use')
  await page.getByRole('button', {name: 'Delete it'}).click()
  await page.getByText('This is not its name.').waitFor()
  await look(page, 'key-delete-wrong-name')
  await page.getByLabel(/^Type its name/).fill('In use')
  await page.getByRole('button', {name: 'Delete it'}).click()
  await page.getByText('The key is deleted').waitFor()
}
