"""Given names that the census of the United States lists rarely or not at all, folded: small letters.

The common ones of each language, as its registries count them; the census's own are in the package ``names``.
"""

GERMAN = """
achim andreas annegret annika antje axel bernd birgit bjoern bjorn britta carsten christoph claus claudia
dagmar detlef dieter dietmar dirk doerte eberhard eckhard egon elke erich erika ernst eva fabian felix finn
florian franz friedrich frieda fritz gabriele georg gerd gerhard gertrud gisela gottfried gregor gudrun
guenter gunter gunther guenther hannelore hannah hanna hannes hans harald hartmut heike heiko heiner
heinrich heinz helga helmut henning herbert hilde hildegard holger horst ilse ines ingeborg ingo ingrid jan
jana jens joachim jochen joerg jorg johann johanna johannes jonas josef jurgen juergen karin karl karla
karsten kathrin katja katharina katrin kerstin kirsten klaus konrad konstantin kurt lars laura lena leon
leonie lina lothar luca ludwig luisa lukas malte manfred manuela marc marcel marco mareike marie mario
marion markus marlene martin mathias matthias max maximilian mia michaela mila monika moritz nadine nele
nico nicole niklas nils norbert olaf oliver oskar otto paul paula petra philipp rainer ralf reinhard
reinhold renate roland rolf rosemarie ruediger rudiger rudolf ruth sabine sabrina sandra sebastian siegfried
silke silvia simon sigrid sofia sophie stefan stefanie steffen susanne sven svenja tanja thomas thorsten
tilman tim timo tobias torsten udo ulf uli ulrich ulrike ursula ute uwe volker waltraud werner wilhelm
wolfgang wolfram yannick
"""
FRENCH = """
adrien alain amelie anais antoine arnaud aurelie aurelien baptiste benoit brigitte camille cecile celine
charlotte chloe christelle christophe claire clemence clement damien delphine didier dominique elodie emilie
emmanuel estelle etienne fabien fabrice florence francois francoise frederic gael gaelle genevieve gerard
gilles guillaume helene henri herve hugo isabelle jacqueline jacques jean jeanne jerome joel julie julien
karine laurence laurent lea leo loic louis louise luc lucas lucie ludovic maelys manon marc marcel margaux
marguerite marion martine mathieu mathilde matthieu maxime melanie michel mireille monique nathalie nicolas
noemie odile olivier oceane pascal pascale patrice philippe pierre quentin raphael regis remi rene romain
sandrine sebastien serge severine simone solene sophie stephane stephanie sylvain sylvie thibault thierry
theo valerie veronique vincent virginie xavier yann yannick yves yvonne zoe
"""
IBERIAN = """
adrian agustin alba alejandra alejandro alfonso alvaro amparo ana andrea andres angel antonio aranzazu
arturo barbara beatriz belen begona caetano carla carlos carmen catarina cesar claudio concepcion cristina
cristobal daniela diego diogo dolores duarte eduardo elena emilio enrique ernesto esteban estela eugenio
fatima felipe fernanda fernando francisco gabriela gonzalo goncalo guillermo gustavo hector ignacio ines
irene isabel ivan jaime javier jesus joana joao joaquin jorge jose josefa juan juana julio laia leandro
lorena lourdes lucia luis luisa luiz manuel manuela marcelo marcos margarida maria mariana marta mateo
matilde mauricio mercedes miguel miriam monica montserrat nuno nuria oscar pablo paloma paola patricia paulo
pedro pilar rafael ramon raquel raul rei renata ricardo roberto rocio rodrigo rosario ruben rui santiago
sara sergio silvia sofia susana teresa thiago tiago tomas valentina vasco vicente victoria xavi ximena
yolanda
"""
ITALIAN = """
agnese alberto alessandra alessandro alessia alessio andrea angela angelo anna antonella antonio arianna
barbara beatrice benedetta bruno carlo caterina cecilia chiara claudia claudio cristiano daniele dario
davide domenico donatella edoardo elena eleonora elisa elisabetta emanuele enrico enzo fabio fabrizio
federica federico filippo flavio franca francesca francesco franco gabriele giacomo gianluca gianni giorgia
giorgio giovanna giovanni giulia giuliano giulio giuseppe giuseppina guido ilaria ivano laura leonardo
lorenzo luca lucia luciano luigi marcello marco mario martina massimo matteo maurizio michela michele mirko
nicola nicolo noemi ornella paola paolo pasquale pietro raffaele renato riccardo rita roberta rocco
salvatore sara serena sergio silvio simona stefania stefano teresa tommaso umberto valentina valeria
vincenzo vito vittoria vittorio
"""
NORTHERN = """
aart aino anders andrius anneke anniken annika arne arno arvid asa astrid bart bas birgitta birgit bjarne
bjork borje bram britt cees cornelis daan dag dirk eeva einar eino eirik elin elsa emil erik esa espen eva
femke fleur floris freja frode geert geir gerrit gitte gudrun gunnar guus hakan hakon halvard hanne hans
harri heikki heidi helle hendrik henk henrik hilde hjalmar hugo ida inge inger ingrid ilse isak jaap jacob
jan janne jari jasper jelle jens jeroen jesper joakim johan johanna joost joris jorgen juha jukka kaija
kajsa kari karin karl kasper katja kees kim kirsi kjell klaas knut koen kristian kristina lars lasse leif
lene lennart lieke lies liisa lisbeth lotte lotta maarten maja marieke marit marjan markku martijn matti
mette mieke mika mikael mikko morten niels nils odd ola olaf olav ole olof oskar outi palle pekka pelle per
pernille petri petter piet pieter pirjo ragnar ragnhild rasmus renske riikka rikke roel ruud saara sander
sanna sanne sari sigrid sigurd siri siv sjoerd sofie solveig soren staffan stig stijn stine sven svein
sverre tapio tarja terje teun thijs thor timo tom tomi tommi tone tor tore torbjorn torsten tove trine
trygve tuomas ulla ulrika vesa viggo ville wim willem wouter yrjo aisling aoife caoimhe ciaran cormac declan
dermot donal eamon eoin fergus fionnuala grainne liam maeve niamh oisin orla padraig roisin ruairi saoirse
sean siobhan sinead bronwen carys dafydd dylan emrys gareth geraint gethin gwen gwilym huw iestyn ieuan llew
lowri megan myfanwy owain rhian rhodri rhys sian tegwen hamish iain alasdair catriona eilidh ewan fiona
morag mairi
"""
EASTERN = """
agata agnieszka aleksandar aleksander aleksandr aleksandra aleksei alexei alina anastasia anatoly andrei
andrej andrzej anja anton arkady artem artur attila balazs bartosz beata bela bogdan bohdan boris boguslaw
bozena branislav csaba cristian czeslaw damian danuta darya dawid dejan denis dimitar dimitri dimitris
dmitri dmitry dominik dorota dragan drago edyta ekaterina elzbieta eszter evgeny ferenc filip gabor georgi
georgios gheorghe giorgos goran grazyna grigory grzegorz gyorgy halina henryk hristo igor iga ilona ilya
imre ioan ioana ioannis ion ionut irena irina istvan ivan ivana iwona izabela jacek jadwiga jakub jan janos
janusz jaromir jaroslav jaroslaw jelena jerzy jiri joanna jozef jozsef judit justyna kamil karel karol
katarina katarzyna kateryna katerina kiril konstantin konstantinos kostas kristina krisztina krystyna
krzysztof ksenia lajos larisa laszlo lech lenka leonid leszek lidia liliana ljubica lubomir lucyna ludmila
lukasz lyudmila maciej magda magdalena malgorzata marcin marek mariusz marta martyna mateusz michal mihai
mihaela mikhail mikolaj milan milena milos mira miroslav miroslaw mladen monika nadezhda natalia natalya
nenad nikola nikolai nikolaos nikolay nikos oksana oleg oleksandr olena olga ondrej panagiotis patryk pavel
pawel peter petr petra piotr predrag przemyslaw radek radoslaw radu rafal ralitsa renata robert roman ruslan
ryszard sandor sanja sasha sebastian sergei sergey sergiu sinisa slavko slobodan snezana sofia stanislav
stanislaw stavros stefan svetlana svitlana szymon tadeusz tamas tatiana tatjana teodor tetiana timur tibor
tomas tomasz urszula vadim valentin valery vaclav vanja vasil vasile vasilis vasily veronika viktor viktoria
violeta vitaly vlad vladimir vojtech volodymyr vyacheslav waldemar wanda weronika wieslaw witold wladyslaw
wojciech yana yannis yevgeny yulia yuri zbigniew zdenek zdravko zeljko zofia zoltan zoran zsofia zsolt
zuzana zygmunt
"""
TURKISH_AND_ARABIC = """
abdullah ahmed ahmet aisha ali alper amina amir amira anas arda asli aydin ayhan ayse aysegul aysel ayten
aziz baran baris berk berkay bilal bulent burak burcu busra can canan cem cemal cengiz ceren deniz derya
dilek ebru elif emine emir emre engin erdem erdal erkan esra fadi farah farid faruk fatih fatima fatma
ferhat fuat gamze gokhan gul gulay gulsen hakan halil halima hamid hamza hanan hande hasan hassan hatice
huda hulya huseyin hussein ibrahim idris ilker imran inci ismail jamal kadir kamal karim kemal kerem khadija
khaled khalid koray layla leila leyla mahmoud mahmut maryam mehmet meltem merve metin mohamed mohammad
mohammed mona muhammad muhammed murat mustafa nabil nadia nasser nazan neslihan nour nur nuray omar omer
onur orhan osama osman ozan ozge ozgur ozlem pinar rachid ramazan rania rashid recep sabri said salma salim
salman sami samira sedat selim selin selma semra serap serdar serkan sevda sevgi seyma sibel sinan songul
suleyman tarek tarik tolga tugba tuncay ufuk ugur umit umut volkan yasemin yasin yasmin yasser yavuz yeliz
yilmaz youssef yusuf zahra zainab zehra zeynep
"""
ASIAN = """
aarav abhishek aditi aditya ajay akash akshay amit amitabh ananya anand anil anita anjali ankit anuj anup
aparna arjun arun asha ashish ashok ashwin bhavna chandra deepa deepak deepika devi dinesh divya farhan
gaurav gayatri geeta girish gopal harish harsh hari imran indira ishaan jyoti kabir kamala karan kavita
kavya kiran kishore krishna kumar lakshmi lalit madhuri mahesh manish manoj meena meera mohan mohit mukesh
nandini naresh naveen neelam neha nidhi nikhil nisha nitin padma pankaj pooja prakash pranav prasad pratik
preeti priya priyanka rahul raj raja rajan rajeev rajesh rajiv rakesh ram ramesh rani ravi rekha ritu rohan
rohit sachin sandeep sangeeta sanjay sanjeev santosh sarita satish saurabh seema shalini shankar sharad
shilpa shiv shreya shruti shweta siddharth sneha sonali sourav sunil sunita suresh sushma swati tanvi tarun
uday uma usha varun vidya vijay vikas vikram vimal vinay vinod vishal vivek yash akiko akira aiko asuka
ayaka ayumi chiaki daiki daisuke emiko fumiko haruka haruki haruto hideo hiroki hiroko hiroshi hiroyuki
hitomi kaori kazuki kazuko kazuo keiko kenichi kenji kenta kiyoshi koichi kumiko makoto mamoru manabu masako
masao masashi mayumi megumi michiko miho minoru misaki mitsuko miyuki naoki naoko naomi noriko osamu reiko
ren ryo ryota sakura satoshi satomi shigeru shinichi shota sora tadashi takahiro takashi takeshi takumi taro
tetsuya tomoko tomomi toru toshio tsubasa yasuko yoko yoshiko yosuke yui yuka yuki yukiko yumi yumiko yusuke
yuto yuuki bo chao cheng chun fang feng gang guang hai hao heng hong hua hui jia jian jiang jianhua jie jing
jun kai lan lei li liang lin ling mei meng min na ning peng ping qiang qing rong rui shan shu tao ting wei
wen xia xiang xiao xiaoming xin xiu xue yan yang yi ying yong yu yuan yue yun zhen zhi zhong anh binh chau
chi dung duc duong giang ha hanh hieu hoa hoang hung huong huy khanh khoa kien linh long mai minh my nam
ngoc nguyen nhung phuc phuong quang quoc quynh son thanh thao thi thu thuy tien tram trang trung tu tuan
tung tuyen van viet vinh bora chaewon dong eunji eunjung geon haeun hana hayoon hyejin hyun hyunwoo jaehyun
jiho jihoon jihye jimin jinwoo jisoo jiwon jiwoo joon junho minho minji minjun minsu minseo namjoon sangwoo
seojun seoyeon seung sooyoung sujin sungho taehyung woojin yejin youngho yoona yuna
"""
AFRICAN = """
abebe abena abiola ade adebayo adunni akin akosua ama amadi amara aminata babatunde bongani chidi chika
chinedu chinonso chioma dayo ebele efua ekow emeka fatoumata folake gugu ifeoma ifunanya jabulani kofi kojo
kwabena kwaku kwame kwasi kwesi lerato lindiwe mamadou mandla moussa mpho musa naledi nana neema ngozi
nkechi nomsa nomvula nosipho obinna oluwaseun ousmane sekou segun sibusiso sipho siphiwe tendai thabo
thandeka thandi thandiwe themba thulani tunde uche yaa yaw yetunde zanele zodwa
"""

ELSEWHERE = frozenset(
    " ".join(
        (GERMAN, FRENCH, IBERIAN, ITALIAN, NORTHERN, EASTERN, TURKISH_AND_ARABIC, ASIAN, AFRICAN)
    ).split()
)
