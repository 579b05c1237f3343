// From the address that the first start prints to an account with a password, and back in with it.

import assert from 'node:assert/strict'
import {count, password, signIn, signOut, text} from './steps.mjs'

export default async ({open, world, look}) => {
  const page = await open()
  await page.goto(world.signInURL)
  await page.reload() // looking uses nothing up
  await look(page, 'link')
  await page.getByRole('button', {name: 'Sign in'}).click()

  await page.waitForURL('**/account/password')
  await page.getByRole('heading', {name: 'Choose a password'}).waitFor()
  assert.equal(await page.evaluate(() => document.activeElement.id), 'new_password')
  assert.deepEqual((await page.context().cookies()).map(c => [c.name, c.httpOnly, c.secure, c.sameSite]).sort(), [
    ['__Host-apikeyd', true, true, 'Lax'], ['__Host-apikeyd-device', true, true, 'Lax'],
    ['__Host-apikeyd-user', true, true, 'Lax']])
  await look(page, 'password-first')

  await page.getByLabel('New password', {exact: true}).fill('short')
  await page.getByLabel('The same again').fill('short')
  await page.keyboard.press('Enter')
  await page.getByText('Must be at least 12 characters long, not 5.').waitFor()
  assert.equal(await page.getByLabel('New password', {exact: true}).getAttribute('aria-invalid'), 'true')
  assert.equal(await page.getByLabel('New password', {exact: true}).inputValue(), '')
  await look(page, 'password-weak')

  await page.getByLabel('New password', {exact: true}).fill(password)
  await page.getByLabel('The same again').fill(password + '!')
  await page.getByRole('button', {name: 'Set the password'}).click()
  await page.getByText('This is not what stands above.').waitFor()

  await page.getByLabel('New password', {exact: true}).fill(password)
  await page.getByLabel('The same again').fill(password)
  await page.getByRole('button', {name: 'Set the password'}).click()
  await page.getByText('Your password is set.').waitFor()
  await page.waitForURL('**/keys?**')
  await page.getByRole('link', {name: 'First key'}).waitFor()
  await page.goto('/account')
  assert.match(await text(page, 'main'), /admin@localhost.*My organization.*owner/s)

  // Another browser, whose session ends from here.
  const other = await open()
  await signIn(other, 'Admin@LOCALHOST ', password)
  await other.getByRole('heading', {name: 'Keys'}).waitFor()
  await page.reload()
  await look(page, 'account')
  await page.locator('li.session', {hasNotText: 'this one'}).getByRole('button').click()
  await page.getByText('The session has ended.').waitFor()
  assert.equal(await count(page.locator('li.session')), 1)
  await other.reload()
  await other.getByText('Your session has ended.').waitFor()

  await signOut(page)
  await page.getByText('You are signed out.').waitFor()
  await page.goBack()
  await page.waitForURL('**/sign-in**')
  assert.equal(await count(page.getByText('admin@localhost')), 0)

  await page.goto('/')
  await look(page, 'sign-in')
  await signIn(page, 'admin@localhost', 'something else')
  await page.getByText('E-mail address or password is wrong.').waitFor()
  assert.equal(await page.getByLabel('E-mail address').inputValue(), 'admin@localhost')
  assert.equal(await page.evaluate(() => document.activeElement.id), 'password')
  await look(page, 'sign-in-wrong')
  await page.getByLabel('Password').fill(password)
  await page.keyboard.press('Enter')
  await page.waitForURL('**/keys')

  await page.goto(world.signInURL)
  await look(page, 'link-signed-in')
  await page.getByRole('button', {name: 'Sign in'}).click()
  await page.getByRole('heading', {name: 'This link is no longer good'}).waitFor()
  await look(page, 'link-used')
  await page.getByRole('link', {name: 'your account'}).click()
  await page.waitForURL('**/account')
}
