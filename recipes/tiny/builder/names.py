# SPDX-License-Identifier: Apache-2.0
"""Names that no installed source has: people's from many countries, companies, mail hosts."""
from __future__ import annotations

GIVEN = """
Aarav Aditi Aditya Ajay Amit Amrita Ananya Anil Anjali Arjun Ashok Deepak Deepika Divya Gaurav Harish Ishaan Kavita
Kiran Lakshmi Manish Meera Mohan Neha Nikhil Pooja Pradeep Priya Rahul Rajesh Rakesh Ramesh Ravi Rohan Sandeep
Sanjay Shreya Sneha Suresh Sunita Tarun Uma Varun Vijay Vikram Vinod Vivek Yash Nitin Mukesh Dinesh Ganesh Satish
Girish Akira Aiko Daichi Emi Haruto Hiroshi Kaito Kenji Keiko Mei Naoki Noriko Ren Sakura Satoshi Takashi Yoko Yuki
Yumi Chen Fang Feng Hao Hui Jian Jing Jun Lan Lei Li Ling Long Min Ming Na Ping Qiang Shan Tao Wei Xia Xin Yan Ying
Yu Zhen Min-jun Ji-woo Seo-yeon Hyun-woo Soo-jin Young-ho Minh Linh Trang Huong Thanh Tuan Duc Somchai Anong Putri
Budi Siti Abebe Abena Adaeze Adwoa Amara Ayodele Babajide Chidi Chike Chinua Efua Emeka Femi Folake Ifeoma Jabari
Kamau Kofi Kwame Lerato Mandla Nala Ngozi Nia Nkechi Obi Ola Oluwaseun Sade Sipho Tendai Thabo Themba Wanjiru Yaw
Zola Zuri Makena Aisha Ali Amina Bilal Fatima Farid Hamza Hana Hassan Ibrahim Jamal Khalid Layla Leila Mahmoud
Mariam Mustafa Nadia Nasser Noor Omar Rania Samir Salma Tariq Yasmin Youssef Zainab Cem Ayse Elif Emre Mehmet Zeynep
Dariush Shirin Parisa Reza Alejandra Beatriz Camila Carlos Diego Esteban Fernanda Gabriela Guadalupe Ignacio Javier
Joaquin Juana Lucia Mateo Paloma Rafael Rodrigo Santiago Sofia Valentina Ximena Joao Thiago Larissa Dmitri Irina
Katya Ivan Natasha Oksana Olga Svetlana Yuri Bogdan Zofia Jakub Katarzyna Marek Milena Pavel Tomasz Anders Astrid
Bjorn Freja Ingrid Lars Signe Sven Aino Eero Mikko Giulia Luca Matteo Chiara Francesca Elodie Mathilde Thibault
Heike Jurgen Uwe Anneke Pieter Sanne Keala Leilani Moana Tane Aroha Noa Eitan Yael Shira
"""

FAMILY = """
Smith Johnson Williams Brown Jones Garcia Miller Davis Rodriguez Martinez Hernandez Lopez Gonzalez Wilson Anderson
Thomas Taylor Moore Jackson Martin Perez Thompson White Harris Sanchez Clark Ramirez Lewis Robinson Walker Young
Allen King Wright Scott Torres Nguyen Hill Flores Green Adams Nelson Baker Hall Rivera Campbell Mitchell Carter
Roberts Gomez Phillips Evans Turner Diaz Parker Cruz Edwards Collins Reyes Stewart Morris Morales Murphy Cook Rogers
Gutierrez Ortiz Morgan Cooper Peterson Bailey Reed Kelly Howard Ramos Kim Cox Ward Richardson Watson Brooks Chavez
Wood Bennett Gray Mendoza Ruiz Hughes Price Alvarez Castillo Sanders Patel Myers Ross Foster Jimenez Powell Jenkins
Perry Russell Sullivan Bell Coleman Butler Henderson Barnes Fisher Vasquez Simmons Jordan Patterson Alexander
Hamilton Graham Reynolds Griffin Wallace Moreno West Cole Hayes Bryant Herrera Gibson Ellis Tran Medina Aguilar
Stevens Murray Ford Castro Marshall Owens Harrison Fernandez Woods Washington Kennedy Wells Vargas Henry Freeman
Webb Tucker Guzman Burns Crawford Sharma Verma Gupta Singh Kumar Agarwal Iyer Nair Menon Reddy Rao Naidu Banerjee
Chatterjee Mukherjee Das Ghosh Bose Desai Mehta Shah Joshi Kulkarni Deshpande Patil Chopra Kapoor Malhotra Khanna
Bhatia Sethi Trivedi Pandey Mishra Wang Zhang Liu Chen Yang Huang Zhao Wu Zhou Xu Sun Ma Zhu Hu Guo Lin Luo Zheng
Liang Xie Tang Deng Feng Peng Jiang Cai Sato Suzuki Takahashi Tanaka Watanabe Ito Yamamoto Nakamura Kobayashi Kato
Yoshida Yamada Sasaki Matsumoto Inoue Kimura Park Choi Jung Kang Cho Yoon Jang Lim Pham Hoang Phan Vu Dang Bui Ngo
Duong Okafor Okoye Adeyemi Adebayo Balogun Eze Nwosu Obi Okonkwo Mensah Owusu Boateng Asante Osei Appiah Mwangi
Kamau Otieno Odhiambo Wanjiku Ndlovu Dlamini Nkosi Khumalo Mokoena Zulu Banda Phiri Tembo Abebe Bekele Tesfaye
Diallo Traore Keita Hussein Ahmed Hassan Ali Khan Malik Rahman Siddiqui Farouk Haddad Khoury Nasser Saleh Yilmaz
Kaya Demir Celik Ozturk Ivanov Petrov Smirnov Kuznetsov Popov Volkov Novak Kowalski Nowak Wojcik Lewandowski Horvat
Nagy Szabo Kovacs Toth Andersen Hansen Larsen Nielsen Olsen Johansson Karlsson Lindberg Nilsson Virtanen Korhonen
Makinen Muller Schmidt Schneider Fischer Weber Meyer Wagner Becker Hoffmann Schulz Koch Bauer Richter Klein Wolf
Rossi Russo Ferrari Esposito Bianchi Romano Colombo Ricci Marino Greco Dubois Laurent Lefebvre Moreau Fournier
Girard Silva Santos Oliveira Souza Pereira Costa Almeida Carvalho Ribeiro Jansen Bakker Visser Smit Meijer
"""

COMPANIES = """
Microsoft Google Amazon Apple Intel Nvidia Oracle Adobe Netflix Tesla Toyota Honda Nissan Mazda Subaru Hyundai
Samsung Sony Panasonic Hitachi Toshiba Fujitsu Canon Nikon Siemens Bosch Bayer Volkswagen Porsche Audi Renault
Peugeot Michelin Airbus Boeing Lockheed Raytheon Pfizer Moderna Novartis Roche Nestle Unilever Philips Heineken
Carlsberg Ikea Volvo Ericsson Nokia Maersk Lego Shell Chevron Exxon Walmart Target Costco Starbucks Subway Nike
Adidas Puma Reebok Gucci Prada Zara Lufthansa Emirates Qantas Ryanair Vodafone Verizon Infosys Wipro Alibaba Tencent
Baidu Huawei Lenovo Xiaomi Foxconn Spotify Twitter Facebook Instagram Reddit Wikipedia Uber Airbnb Dropbox Slack
Zoom Pinterest LinkedIn PayPal Visa Mastercard Citigroup Barclays Santander Allianz Deloitte Accenture Disney Pixar
Nintendo Sega Atari Kodak Pepsi Heinz Kellogg Colgate Gillette Rolex Swatch NASA NATO UNESCO UNICEF FIFA IBM BMW BBC
CNN HSBC SAP DHL FedEx UPS Greenpeace Interpol Oxfam Amnesty
"""

COMPANY_KINDS = """Industries Motors Foods Airlines Bank Systems Software Partners Records Energy Insurance Logistics
Pharmaceuticals Electronics Holdings Steel Textiles Media Press Robotics Studios Brothers Laboratories Group
Foundation Institute Museum Hotels""".split()

MAIL_HOSTS = """gmail.com yahoo.com outlook.com hotmail.com icloud.com aol.com proton.me mail.com live.com gmx.net
fastmail.com zoho.com""".split()

MAIL_ENDINGS = "com com com org net edu io co.uk de in".split()
