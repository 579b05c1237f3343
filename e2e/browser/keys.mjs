// A key from its creation to its end, with script.

import assert from 'node:assert/strict'
import {begin, count, text} from './steps.mjs'

export default async ({open, world, look}) => {
  const page = await open({permissions: ['clipboard-read', 'clipboard-write']})
  await begin(page, world.signInURL)
  await page.waitForURL('**/keys?**')

  // Another organization has no keys yet.
  await page.getByLabel('Organization: My organization').click()
  await look(page, 'menu-organizations')
  await page.getByRole('link', {name: 'Another'}).click()
  await page.getByRole('heading', {name: 'No keys yet'}).waitFor()
  await look(page, 'keys-none')
  await page.getByRole('link', {name: 'Create the first key'}).click()

  // What is wrong is said beside the field, and what was typed stays.
  await page.locator('#key_name:focus').waitFor()
  assert.equal(await page.getByLabel('Organization', {exact: true}).locator('option:checked').innerText(), 'Another')
  assert.deepEqual(await page.locator('[name=key_scope]:checked').evaluateAll(all => all.map(one => one.value)), ['READ'])
  await look(page, 'key-new')
  await page.getByLabel('Name').fill('Backend, production')
  await page.getByText('Limits and addresses').click()
  await page.locator('#limit_requests-1').fill('many')
  await page.getByLabel('Addresses').fill('203.0.113.7\n203.0.113.9/240')
  await page.locator('summary', {hasText: 'Metadata'}).click()
  await page.locator('textarea[name=metadata]').fill('{"plan":')
  await page.getByLabel('The last day').fill('2020-01-31') // which chooses it
  await page.getByRole('button', {name: 'Create the key'}).click()
  await page.getByText('Must be a whole number.').waitFor()
  for (const said of ['Must be in the future.', 'must be a block of addresses', 'Must be a JSON object.']) {
    assert.ok((await text(page, 'main')).includes(said), said)
  }
  assert.equal(await page.getByLabel('Name').inputValue(), 'Backend, production')
  await look(page, 'key-new-wrong')
  await page.locator('#limit_requests-1').fill('1 000')
  await page.getByRole('button', {name: 'Another limit'}).click()
  await page.locator('#limit_requests-2').fill('50')
  await page.locator('#limit_unit-2').selectOption('second')
  await page.getByLabel('Addresses').fill('127.0.0.0/8')
  await page.locator('textarea[name=metadata]').fill('{"plan": "pro", "seats": {"a": 1, "b": 2}}')
  await page.getByText('30 days').click()
  await page.getByText('CREATE', {exact: true}).click()
  // Pressed twice, it makes one key.
  await page.getByRole('button', {name: 'Create the key'}).dblclick()
  await page.getByRole('heading', {name: 'Your key'}).waitFor()
  const token = await text(page, '#token')
  assert.match(token, /^ak_[0-9A-Za-z]{49}$/)
  await look(page, 'token')
  await page.getByRole('button', {name: 'Copy'}).first().click()
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), token)
  const file = page.waitForEvent('download')
  await page.getByRole('link', {name: 'Download as .env'}).click()
  const written = await (await file).createReadStream()
  assert.equal((await written.toArray()).join(''), `APIKEYD_KEY=${token}\n`)

  // Who leaves is asked once.
  const asked = []
  page.on('dialog', d => { asked.push(d.type()); void d.dismiss() })
  await page.getByRole('link', {name: 'Keys'}).click()
  await page.getByRole('link', {name: 'Keys'}).click()
  await page.waitForURL('**/keys?**')
  assert.deepEqual(asked, ['beforeunload'])
  assert.equal(await count(page.getByRole('row', {name: 'Backend, production'})), 1)

  // Who goes back to where a token was shown comes to the key.
  await page.goBack()
  await page.getByRole('heading', {name: 'Backend, production'}).waitFor()
  assert.equal(await count(page.getByText(token)), 0)

  const answer = await fetch(`${world.verify}/v1/verify`, {method: 'POST', headers: {'Content-Type': 'application/json'},
    body: JSON.stringify({key: token, scope: 'CREATE', ip: '127.0.0.1'})})
  assert.equal((await answer.json()).code, 'VALID')

  await page.goto('/keys')
  await page.getByRole('link', {name: 'Backend, production'}).click()
  await page.getByRole('heading', {name: 'Backend, production'}).waitFor()
  assert.match(await text(page, '.facts'), /default: 1,000 in 1 minute[^]*limit-2: 50 in 1 second[^]*127\.0\.0\.0\/8/)
  await look(page, 'key')

  await page.getByRole('link', {name: 'Change'}).click()
  await look(page, 'key-change')
  await page.getByLabel('Name').fill('Backend <b>')
  await page.getByText('Never', {exact: true}).click()
  await page.locator('textarea[name=metadata]').fill('{"seats": {"b": 3}, "text": "<b>"}')
  await page.getByRole('button', {name: 'Change the key'}).click()
  await page.getByText('The key is changed.').waitFor()
  assert.equal(await text(page, 'pre'), '{"seats":{"b":3},"text":"<b>"}')
  assert.equal(await text(page, 'h1'), 'Backend <b>')

  await page.getByRole('button', {name: 'Disable it'}).click()
  await page.getByText('The key is disabled').waitFor()
  await look(page, 'key-disabled')
  await page.getByRole('button', {name: 'Enable it'}).click()
  await page.getByText('The key is enabled.').waitFor()

  await page.getByRole('link', {name: 'Rotate it'}).click()
  await look(page, 'key-rotate')
  await page.getByRole('button', {name: 'Rotate it'}).click()
  await page.getByRole('heading', {name: 'The new key'}).waitFor()
  assert.notEqual(await text(page, '#token'), token)
  await look(page, 'token-rotated')
  await page.getByRole('link', {name: 'I have kept it'}).click()
  await page.getByRole('link', {name: 'Delete it'}).click()
  await page.getByRole('link', {name: 'Cancel'}).click()
  await page.getByRole('link', {name: 'Delete it'}).click()
  await look(page, 'key-delete')
  // Its name is asked for where its last use is known, as it is within seconds.
  const name = page.getByLabel(/^Type its name/)
  if (await count(name) === 0) {
    await page.getByRole('button', {name: 'Delete it'}).click()
    await name.or(page.getByText('The key is deleted')).waitFor()
  }
  if (await count(name) > 0) {
    await name.fill('Backend')
    await page.getByRole('button', {name: 'Delete it'}).click()
    await page.getByText('This is not its name.').waitFor()
    await name.fill('Backend <b>')
    await page.getByRole('button', {name: 'Delete it'}).click()
  }
  await page.getByText('The key is deleted').waitFor()
  await page.getByRole('heading', {name: 'No keys yet'}).waitFor()

  // Light or dark by choice, from here on.
  await page.getByLabel(/^Your menu/).click()
  await look(page, 'menu-user')
  await page.getByRole('button', {name: 'Dark'}).click()
  await page.waitForURL('**/keys**')
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), 'dark')
  await page.emulateMedia({colorScheme: 'light'})
  assert.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), 'rgb(15, 21, 20)')
}
