// All of it without script.

import {begin, password, signIn, signOut} from './steps.mjs'

export default async ({open, world}) => {
  const page = await open({javaScriptEnabled: false})
  await begin(page, world.signInURL)
  await signOut(page)
  await page.getByText('You are signed out.').waitFor()
  await signIn(page, 'admin@localhost', password)
  await page.waitForURL('**/keys')
  await page.getByRole('link', {name: 'Members'}).click()
  await page.getByRole('link', {name: 'Invite somebody'}).click()
  await page.getByLabel('E-mail address').fill('ada@example.com')
  await page.getByRole('button', {name: 'Invite'}).click()
  await page.getByText('ada@example.com is invited').waitFor()
  await page.getByRole('link', {name: 'I have handed it over'}).click()
  await page.getByRole('link', {name: 'ada@example.com', exact: true}).click()
  await page.locator('[value=owner]').check()
  await page.getByRole('button', {name: 'Change the role'}).click()
  await page.getByText('The role is changed.').waitFor()
  await page.getByRole('link', {name: 'Audit log'}).click()
  await page.getByLabel('Who').fill('ada@example.com')
  await page.getByRole('button', {name: 'Show'}).click()
  await page.getByText('Nothing like that is in the log').waitFor()
  await page.getByRole('link', {name: 'Nodes'}).click()
  await page.getByText('There is one node').waitFor()
  await page.goto('/account')
  await page.getByRole('button', {name: /^End the session/}).click()
  await page.getByText('You are signed out.').waitFor()
}
