// A session ends while somebody fills in a form.

import {begin, choose, password, signIn} from './steps.mjs'

export default async ({open, world, look}) => {
  const page = await open()
  await begin(page, world.signInURL)
  const elsewhere = await open()
  await signIn(elsewhere, 'admin@localhost', password)
  await elsewhere.goto('/account/password')
  await elsewhere.getByLabel('Current password').fill(password)

  await page.goto('/account/password')
  await choose(page, password + ' two') // ends the other session

  await elsewhere.getByLabel('New password', {exact: true}).fill(password + ' three')
  await elsewhere.getByLabel('The same again').fill(password + ' three')
  await elsewhere.getByRole('button', {name: 'Change the password'}).click()
  await elsewhere.getByText('Your session has ended. Sign in again to go on.').waitFor()
  await look(elsewhere, 'sign-in-ended')
  await signIn(elsewhere, 'admin@localhost', password + ' two')
  await elsewhere.waitForURL('**/keys')
}
