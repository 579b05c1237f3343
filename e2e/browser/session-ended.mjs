// A session ends while somebody fills in a form.

import {begin, choose, password, signIn} from './steps.mjs'

export default async ({open, world, look}) => {
  const page = await open()
  await begin(page, world.signInURL)
  const elsewhere = await open()
  await signIn(elsewhere, 'admin@localhost', password)
  const writing = await open()
  await signIn(writing, 'admin@localhost', password)
  await writing.getByRole('link', {name: 'Create a key'}).click()
  await writing.getByLabel('Name').fill('Half written')
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

  // What was typed into another form is kept, and sent once somebody has signed in again and means it.
  await writing.getByRole('button', {name: 'Create the key'}).click()
  await writing.getByText('Your session has ended, and nothing was done.').waitFor()
  await look(writing, 'sign-in-kept')
  await writing.getByLabel('E-mail address').fill('admin@localhost')
  await writing.getByLabel('Password').fill(password)
  await writing.getByRole('button', {name: 'Sign in', exact: true}).click()
  await writing.getByText('E-mail address or password is wrong.').waitFor()
  await writing.getByLabel('Password').fill(password + ' two')
  await writing.getByRole('button', {name: 'Sign in', exact: true}).click()
  await writing.getByText('Half written').waitFor()
  await look(writing, 'resume')
  await writing.getByRole('button', {name: 'Send it now'}).click()
  await writing.getByRole('heading', {name: 'Your key'}).waitFor()
  await writing.getByRole('link', {name: 'I have kept it'}).click()
  await writing.getByRole('heading', {name: 'Half written'}).waitFor()
}
