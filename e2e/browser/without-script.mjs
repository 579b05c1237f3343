// All of it without script.

import {begin, password, signIn} from './steps.mjs'

export default async ({open, world}) => {
  const page = await open({javaScriptEnabled: false})
  await begin(page, world.signInURL)
  await page.getByRole('button', {name: 'Sign out'}).click()
  await page.getByText('You are signed out.').waitFor()
  await signIn(page, 'admin@localhost', password)
  await page.waitForURL('**/account')
  await page.getByRole('button', {name: /^End the session/}).click()
  await page.getByText('You are signed out.').waitFor()
}
