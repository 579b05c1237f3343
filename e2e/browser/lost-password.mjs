// A lost password, and a link by mail.

import {begin, loseSession, signOut} from './steps.mjs'

export default async ({open, ask, look}) => {
  const page = await open()
  await page.goto('/sign-in')
  await page.getByLabel('E-mail address').fill('nobody in particular')
  await page.getByRole('button', {name: 'Mail me a link'}).click()
  await page.getByText('Must be an e-mail address').waitFor()
  await look(page, 'sign-in-mail')
  await page.getByLabel('E-mail address').fill('admin@localhost')
  await page.getByRole('button', {name: 'Mail me a link'}).click()
  await page.getByText('a mail with a link is on its way').waitFor()
  await look(page, 'sign-in-mailed')

  const link = await ask('open the mail')
  await begin(page, link)

  // What was typed in a session that had ended comes back with a link, too.
  await page.goto('/keys/new')
  await page.getByLabel('Name').fill('Half written')
  await loseSession(page)
  await page.getByRole('button', {name: 'Create the key'}).click()
  await page.getByLabel('E-mail address').fill('admin@localhost')
  await page.getByRole('button', {name: 'Mail me a link'}).click()
  await page.getByText('a mail with a link is on its way').waitFor()
  await page.goto(await ask('open the mail'))
  await page.getByRole('button', {name: 'Sign in'}).click()
  await page.getByText('Half written').waitFor()
  await look(page, 'resume-link')
  await page.getByRole('button', {name: 'Leave it'}).click()
  await page.getByRole('heading', {name: 'Choose a new password'}).waitFor()
  await signOut(page)
  await page.goto(link)
  await page.getByRole('button', {name: 'Sign in'}).click()
  await page.getByRole('heading', {name: 'This link is no longer good'}).waitFor()
  await look(page, 'link-used-mail')
}
