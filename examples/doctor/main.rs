//! What the doctor says of a healthy program and of broken ones:
//!
//! ```sh
//! cargo run --example doctor
//! ```
//!
//! Set-ups are global, so each has a process of its own: this program starts itself once for each.

mod setups;

use std::{
    env,
    error::Error,
    process::{Command, ExitCode},
};

use ctxhop::doctor;
use setups::{SETUPS, Setup};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    match env::args().nth(1) {
        None => show_all(),
        Some(name) => match SETUPS.iter().find(|setup| setup.name == name) {
            Some(setup) => Ok(show(setup)),
            None => {
                let names: Vec<_> = SETUPS.iter().map(|setup| setup.name).collect();
                eprintln!("there is no set-up {name:?}; the set-ups are: {}", names.join(", "));
                Ok(ExitCode::from(2))
            }
        },
    }
}

fn show_all() -> Result<ExitCode, Box<dyn Error>> {
    for setup in SETUPS {
        println!("{} ({})", setup.name, setup.what);
        let output = Command::new(env::current_exe()?).arg(setup.name).output()?;
        for line in String::from_utf8(output.stdout)?.lines() {
            println!("    {line}");
        }
        if output.status.success() != setup.healthy {
            return Err(format!("the doctor is wrong about {}", setup.name).into());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(setup: &Setup) -> ExitCode {
    let _kept = (setup.set_up)();
    let diagnosis = doctor::check().lockfile(setup.lockfile);
    println!("{diagnosis}");
    if diagnosis.is_healthy() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
