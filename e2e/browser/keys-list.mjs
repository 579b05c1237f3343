// A list of keys that is longer than a page, with names that somebody has chosen to do harm.

import assert from 'node:assert/strict'
import {begin, count, text} from './steps.mjs'

export default async ({open, world, look}) => {
  const page = await open({timezoneId: 'Asia/Tokyo', locale: 'en-GB'})
  await begin(page, world.signInURL)
  const seen = await text(page, 'table')
  for (const name of world.names) assert.ok(seen.includes(name), `${name} is not in ${seen}`)
  await look(page, 'keys')

  await page.getByRole('link', {name: 'Next page'}).click()
  await page.getByRole('link', {name: 'First key'}).waitFor()
  await page.getByRole('link', {name: 'First page'}).click()

  // What is typed is searched for, and what is found can be shared as an address.
  await page.getByLabel('Search by name').pressSequentially('batch 1')
  await page.waitForURL('**q=batch+1**')
  await page.locator('tbody tr').nth(9).waitFor()
  assert.equal(await count(page.locator('tbody tr')), 10)
  assert.equal(await page.evaluate(() => document.activeElement.name), 'q')
  await page.getByLabel('Scope').selectOption('MANAGE')
  await page.getByRole('heading', {name: 'No key is like that'}).waitFor()
  await look(page, 'keys-not-found')
  await page.getByRole('link', {name: 'Show all keys'}).click()
  await page.getByLabel('State').selectOption('disabled')
  await page.getByRole('heading', {name: 'No key is like that'}).waitFor()
  await page.reload()
  assert.equal(await page.getByLabel('State').inputValue(), 'disabled')

  await page.getByLabel('State').selectOption('expired')
  await page.waitForURL('**state=expired**')
  await page.getByRole('heading', {name: 'No key is like that'}).waitFor()
  await page.getByLabel('State').selectOption('active')
  await page.locator('tbody tr').nth(49).waitFor()

  // A list that is sorted goes on where the page before has ended.
  await page.goto('/keys?sort=name&q=batch')
  await page.locator('tbody tr').first().getByText('Batch 00').waitFor()
  await page.getByRole('link', {name: 'Next page'}).click()
  await page.locator('tbody tr').first().getByText('Batch 50').waitFor()
  await page.goBack()
  await page.locator('tbody tr').first().getByText('Batch 00').waitFor()

  await page.goto('/keys?sort=oldest')
  await page.locator('tbody tr').first().getByText('First key').waitFor()

  // Times are the reader's; the exact one is there on hover.
  await page.goto('/keys')
  await page.getByRole('link', {name: world.names[0]}).click()
  assert.match(await page.locator('time').first().getAttribute('title'), /GMT\+9/)
  await look(page, 'key-hostile')
  for (const name of world.names.slice(1)) {
    await page.goto('/keys')
    await page.getByRole('link', {name, exact: true}).click()
    assert.equal(await text(page, 'h1'), name)
    await page.getByRole('link', {name: 'Delete it'}).click()
    assert.ok((await text(page, 'main')).includes(name))
  }
  await look(page, 'key-delete-hostile')

  // The same without script, and in UTC.
  const plain = await open({javaScriptEnabled: false, storageState: await page.context().storageState()})
  await plain.goto('/keys')
  await plain.getByLabel('Search by name').fill('batch 05')
  await plain.getByRole('button', {name: 'Show'}).click()
  await plain.getByRole('link', {name: 'Batch 05'}).click()
  assert.match(await plain.locator('time').first().getAttribute('title'), /UTC$/)
  await plain.getByRole('link', {name: 'Keys'}).last().click()
  await plain.getByRole('link', {name: 'Create a key'}).click()
  await plain.getByLabel('Name').fill('Without script')
  await plain.getByLabel('Name').press('Enter')
  await plain.getByRole('heading', {name: 'Your key'}).waitFor()
  const token = await text(plain, '#token')
  const file = plain.waitForEvent('download')
  await plain.getByRole('link', {name: 'Download as .env'}).click()
  assert.equal((await (await file).createReadStream().then(all => all.toArray())).join(''), `APIKEYD_KEY=${token}\n`)
  await plain.getByText('Python').click()
  await plain.getByText('urllib.request').first().waitFor()
  await plain.getByRole('link', {name: 'I have kept it'}).click()
  await plain.getByRole('link', {name: 'Rotate it'}).click()
  await plain.getByRole('button', {name: 'Rotate it'}).click()
  await plain.getByRole('link', {name: 'I have kept it'}).click()
  await plain.getByRole('button', {name: 'Disable it'}).click()
  await plain.getByText('The key is disabled').waitFor()
  await plain.getByRole('link', {name: 'Delete it'}).click()
  await plain.getByRole('button', {name: 'Delete it'}).click()
  await plain.getByText('The key is deleted').waitFor()
  await plain.getByLabel(/^Your menu/).click()
  await plain.getByRole('button', {name: 'Light'}).click()
  assert.equal(await plain.locator('html').getAttribute('data-theme'), 'light')
}
