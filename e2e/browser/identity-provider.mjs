// Signing in at an identity provider: connected first, then enough; and what is said where it does not work.

import assert from 'node:assert/strict'
import {begin, count, loseSession, signOut, text} from './steps.mjs'

export default async ({open, ask, world, look}) => {
  const page = await open()
  const toProvider = page.getByRole('link', {name: 'Sign in with 127.0.0.1'})
  const atProvider = async subject => {
    await page.getByRole('textbox').fill(subject)
    await page.getByRole('button', {name: 'Sign in'}).click()
  }

  await ask('stop the provider')
  await page.goto('/sign-in')
  await look(page, 'sign-in-provider')
  await toProvider.click()
  await page.getByText('cannot be reached just now').waitFor()
  await look(page, 'sign-in-provider-away')
  await ask('start the provider')
  // The server asks it again after a few seconds.
  for (await toProvider.click(); page.url().startsWith(world.url);) await toProvider.click()
  await atProvider('alice')
  await page.getByRole('alert').waitFor()
  assert.match(await text(page, '[role=alert]'), /nobody here is connected with that/)
  await look(page, 'sign-in-not-connected')

  await begin(page, world.signInURL)
  await page.goto('/account')
  await page.getByRole('button', {name: 'Connect with 127.0.0.1'}).click()
  await atProvider('alice')
  await page.getByText('You can now sign in this way, too.').waitFor()
  await look(page, 'account-provider')
  await page.getByRole('button', {name: 'Connect with 127.0.0.1'}).click()
  await atProvider('alice')
  assert.match(await text(page, '[role=alert]'), /connected with a user already/)

  await signOut(page)
  await toProvider.click()
  await atProvider('alice')
  await page.waitForURL('**/keys')
  await page.goto('/account')
  assert.match(await text(page, '[aria-labelledby=sessions-title] .session'), /identity provider/)

  // What was typed in a session that had ended comes back with whoever signs in there again.
  await page.goto('/keys/new')
  await page.getByLabel('Name').fill('Half written')
  await loseSession(page)
  await page.getByRole('button', {name: 'Create the key'}).click()
  await page.getByText('What you typed is kept: sign in, and send it').waitFor()
  await look(page, 'sign-in-kept-provider')
  await toProvider.click()
  await atProvider('alice')
  await page.getByText('Half written').waitFor()
  await page.reload()
  await page.getByRole('button', {name: 'Send it now'}).click()
  await page.getByRole('heading', {name: 'Your key'}).waitFor()
  await page.getByRole('link', {name: 'I have kept it'}).click()
  await page.getByRole('heading', {name: 'Half written'}).waitFor()

  // Disconnected, it is no way in.
  await page.goto('/account')
  await page.getByRole('button', {name: /^Disconnect 127/}).click()
  await page.getByText('You cannot sign in this way any more.').waitFor()
  assert.equal(await count(page.getByRole('button', {name: /^Disconnect/})), 0)
  assert.deepEqual((await page.context().cookies(world.url)).filter(c => c.name.includes('oidc')), [])
}
